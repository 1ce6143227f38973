"""What a session asks of its grant: may it follow this, at which depth and delay, and when can the answer change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from subscriptions.entitlements import LEVEL_MAX, Grant, ProductRule, effective_access, holds
from subscriptions.gateway.following import WILDCARD
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.origins import delay_of, delayed_origin
from subscriptions.gateway.views import FULL
from subscriptions.protocol import Subscribe

DEPTH_OF_IMAGES = 10  # a depth image carries at most ten levels: a right to ten or more is not cut
ANY_DELAY = "delayed:86400"  # asks for the best there is, however late


@dataclass(frozen=True, slots=True)
class Access:
    """`code` None: allowed, at `level` (FULL, or the entries a side may have), `delay_s` late."""

    code: str | None
    why: str
    level: int = FULL
    delay_s: int = 0


def access(grant: Grant, channel: str, *, symbol: str, market: str | None, at_ns: int, origin: str = LIVE) -> Access:
    """The decision for one symbol in one origin; an anonymous session is told to authenticate where a key could help.

    In a delayed origin a right is enough that is delayed by no more than it.
    """
    delay_s = delay_of(origin)
    if symbol.endswith(WILDCARD) and channel != "account":
        return _access_to_all(grant, channel, pattern=symbol, at_ns=at_ns, delay_s=delay_s)
    timeliness = "delayed" if delay_s else "realtime"
    decision = effective_access(grant, channel, symbol=symbol, market=market, at_ns=at_ns, timeliness=timeliness)
    if not decision.allowed:
        return Access(_code(grant, decision.code or "NOT_ENTITLED"), decision.rule, delay_s=decision.delay_s)
    if decision.delay_s > delay_s:
        words = f"{decision.rule} is delayed by {decision.delay_s} s"
        return Access("DELAYED_ONLY", words, delay_s=decision.delay_s)
    return Access(None, decision.rule, _level(channel, decision.level), decision.delay_s)


def placed(operation: Subscribe, accesses: Iterable[Access]) -> Subscribe:
    """The subscription in the origin that its rights give it; `accesses` were asked with ANY_DELAY.

    A subscription has one timeliness, the best that any of its symbols has (or what it asks for): the symbols that
    have less are then refused with DELAYED_ONLY, and may be had by a subscription of their own.
    """
    if operation.origin != LIVE or operation.timeliness == "realtime":
        return operation
    delays = [found.delay_s for found in accesses if found.code is None]
    if not delays or (operation.timeliness is None and 0 in delays):
        return operation
    return replace(operation, origin=delayed_origin(max(delays)))


def _access_to_all(grant: Grant, channel: str, *, pattern: str, at_ns: int, delay_s: int) -> Access:
    """`*` needs a current rule that names no symbols, a prefix one that names none or some of its own; each stream is
    asked for again when it is joined."""
    rules = [rule for rule in grant.rules if channel in rule.channels and _opens(rule, pattern)]
    if not rules or (grant.ends_ns is not None and at_ns >= grant.ends_ns):
        code = "CONTRACT_ENDED" if rules else "NOT_ENTITLED"
        return Access(_code(grant, code), f"no current product opens {pattern} of {channel}")
    current = [rule for rule in rules if holds(rule, at_ns)]
    if not current:
        return Access("CONTRACT_ENDED", f"{rules[0].rule} is outside its dates")
    if channel == "raw":
        current = [rule for rule in current if rule.level >= LEVEL_MAX]
        if not current:
            return Access("LEVEL_NOT_ENTITLED", f"raw messages carry every level, {rules[0].rule} is cut")
    timely = [rule for rule in current if rule.delay_s <= delay_s]
    if not timely:
        late = min(current, key=lambda rule: rule.delay_s)
        return Access("DELAYED_ONLY", f"{late.rule} is delayed by {late.delay_s} s", delay_s=late.delay_s)
    best = max(timely, key=lambda rule: (-rule.delay_s, rule.level))
    return Access(None, best.rule, _level(channel, best.level), best.delay_s)


def _opens(rule: ProductRule, pattern: str) -> bool:
    names = rule.symbols
    return names is None or (pattern != WILDCARD and any(name.startswith(pattern[:-1]) for name in names))


def _code(grant: Grant, code: str) -> str:
    return "AUTH_REQUIRED" if not grant.key_id and code == "NOT_ENTITLED" else code


def _level(channel: str, level: int) -> int:
    whole = LEVEL_MAX if channel == "book" else DEPTH_OF_IMAGES
    if channel not in ("depth", "book") or level >= whole:
        return FULL
    return max(1, level)


def next_change_ns(grant: Grant, *, after_ns: int) -> int | None:
    """The next instant at which the passage of time alone changes what the grant allows."""
    instants = [grant.expires_ns, grant.ends_ns]
    for rule in grant.rules:
        instants += [rule.starts_ns, rule.ends_ns]
    return min((instant for instant in instants if instant is not None and instant > after_ns), default=None)
