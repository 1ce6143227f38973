"""What a session asks of its grant: may it follow this, at which depth, and when can the answer change."""

from __future__ import annotations

from dataclasses import dataclass

from subscriptions.entitlements import Grant, effective_access
from subscriptions.gateway.hub import FULL, WILDCARD

DEPTH_OF_IMAGES = 10  # a depth image carries at most ten levels: a right to ten or more is not cut


@dataclass(frozen=True, slots=True)
class Access:
    """`code` None: allowed, at `level` (FULL, or the entries a side may have)."""

    code: str | None
    why: str
    level: int = FULL
    timeliness: str = "realtime"


def access(grant: Grant, channel: str, *, symbol: str, market: str | None, at_ns: int) -> Access:
    """The decision for one symbol; an anonymous session is told to authenticate where a key could help."""
    if symbol == WILDCARD:
        return _access_to_all(grant, channel, at_ns=at_ns)
    decision = effective_access(grant, channel, symbol=symbol, market=market, at_ns=at_ns)
    if not decision.allowed:
        return Access(_code(grant, decision.code or "NOT_ENTITLED"), decision.rule)
    return Access(None, decision.rule, _level(channel, decision.level), decision.timeliness)


def _access_to_all(grant: Grant, channel: str, *, at_ns: int) -> Access:
    """`*` needs a current rule that names no symbols; each stream is asked for again when it is joined."""
    open_rules = [
        rule
        for rule in grant.rules
        if channel in rule.channels
        and rule.symbols is None
        and rule.timeliness == "realtime"
        and (rule.starts_ns is None or rule.starts_ns <= at_ns)
        and (rule.ends_ns is None or at_ns < rule.ends_ns)
    ]
    if not open_rules:
        return Access(_code(grant, "NOT_ENTITLED"), f"no current product opens every symbol of {channel}")
    best = max(open_rules, key=lambda rule: rule.level)
    return Access(None, best.rule, _level(channel, best.level))


def _code(grant: Grant, code: str) -> str:
    return "AUTH_REQUIRED" if not grant.key_id and code == "NOT_ENTITLED" else code


def _level(channel: str, level: int) -> int:
    if channel != "depth" or level >= DEPTH_OF_IMAGES:
        return FULL
    return max(1, level)


def next_change_ns(grant: Grant, *, after_ns: int) -> int | None:
    """The next instant at which the passage of time alone changes what the grant allows."""
    instants = [grant.expires_ns]
    for rule in grant.rules:
        instants += [rule.starts_ns, rule.ends_ns]
    return min((instant for instant in instants if instant is not None and instant > after_ns), default=None)
