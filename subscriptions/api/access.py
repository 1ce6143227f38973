"""What a request may see of one stream: the gateway's rule, asked with what the database knows of the symbol."""

from __future__ import annotations

from dataclasses import dataclass

from feeds.models import Instrument
from subscriptions.api.errors import ApiError
from subscriptions.entitlements import Decision, Grant, effective_access, market_of, market_of_index
from subscriptions.protocol import SYMBOL_CHARACTERS_MAX

FULL = 0
DEPTH_LEVELS = 10  # a depth image has at most ten levels a side: a right to ten or more is not cut


@dataclass(frozen=True, slots=True)
class Allowed:
    """A yes: at most `level` entries a side (FULL: all), `delay_s` behind the market."""

    rule: str
    level: int
    timeliness: str
    delay_s: int


def market_of_symbol(channel: str, symbol: str) -> str | None:
    """The market of an instrument, or the one that an index, board or feed names itself."""
    found = Instrument.objects.filter(ticker=symbol).order_by("market").values_list("market", flat=True).first()
    if found is not None:
        return str(found)
    return market_of_index(symbol) if channel == "index" else market_of(symbol)


def decide(grant: Grant, channel: str, *, symbol: str, at_ns: int, timeliness: str | None) -> Decision:
    """The decision for a symbol. `timeliness` None takes what the grant has, real-time before delayed."""
    market = market_of_symbol(channel, symbol)
    asked = timeliness or "realtime"
    decision = effective_access(grant, channel, symbol=symbol, market=market, at_ns=at_ns, timeliness=asked)
    if timeliness is None and decision.code == "DELAYED_ONLY":
        decision = effective_access(grant, channel, symbol=symbol, market=market, at_ns=at_ns, timeliness="delayed")
    return decision


def allowed(grant: Grant, channel: str, *, symbol: str, at_ns: int, timeliness: str | None) -> Allowed:
    """The rights to one stream; ApiError with the socket's code where there are none."""
    if not 1 <= len(symbol) <= SYMBOL_CHARACTERS_MAX:
        raise ApiError("BAD_PARAM", f"symbol: expected 1 to {SYMBOL_CHARACTERS_MAX} characters")
    decision = decide(grant, channel, symbol=symbol, at_ns=at_ns, timeliness=timeliness)
    if not decision.allowed:
        code = decision.code or "NOT_ENTITLED"
        if not grant.key_id and code == "NOT_ENTITLED":
            code = "AUTH_REQUIRED"
        raise ApiError(code, decision.rule)
    level = FULL if decision.level >= DEPTH_LEVELS else max(1, decision.level)
    return Allowed(decision.rule, level, decision.timeliness, decision.delay_s)


def check_timeliness(timeliness: str | None) -> str | None:
    if timeliness not in (None, "realtime", "delayed"):
        raise ApiError("BAD_PARAM", f"timeliness: expected realtime or delayed, got {timeliness[:20]!r}")
    return timeliness
