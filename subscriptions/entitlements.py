"""Decides what a grant may see, and says which rule decided.  [pure]"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from feeds.config import MARKETS

CHANNELS = (
    "trade", "quote", "book", "depth", "stats", "expected", "foreign", "index", "status", "definition", "bar", "raw",
    "account",
)  # fmt: skip
SCOPES = ("stream", "replay", "history")
# What a plan may give a client that is too slow, the least first: it is cut at the bound; the channel's own way; or
# also images kept like events, each that is left out with its range.
ON_SLOW = ("disconnect", "conflate", "skip")
LEVEL_MAX = 100
EVERY_MARKET = frozenset(MARKETS)
# Index names as the routers give them, by market (30167 of krx_mdds.md); others are "<market>.<code>".
INDEX_PREFIXES = (("HNXUPCOM", "UPX"), ("HNX", "STX"), ("VN", "STO"), ("DIAMOND", "STO"), ("FIN", "STO"))


@dataclass(frozen=True, slots=True)
class ProductRule:
    """One entitlement (or public product), with the window in which it holds: [starts_ns, ends_ns)."""

    rule: str
    product: str
    markets: frozenset[str]
    channels: frozenset[str]
    level: int
    timeliness: str
    delay_s: int
    symbols: frozenset[str] | None
    starts_ns: int | None
    ends_ns: int | None
    public: bool


@dataclass(frozen=True, slots=True)
class Limits:
    symbols: int
    ops_per_s: int
    queue_bytes: int
    sessions: int
    takeover: bool = False  # a session over the limit ends the oldest one instead of being refused
    on_slow: str = ON_SLOW[-1]  # the most of ON_SLOW that it gives


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session holds of its key: who, until when, and every rule that may ever apply.

    `expires_ns` is the key's end, `ends_ns` that of the last contract that follows on the present one.
    """

    subscriber_id: int
    subscriber: str
    key_id: str
    scopes: frozenset[str]
    rules: tuple[ProductRule, ...]
    limits: Limits
    expires_ns: int | None
    ends_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`code` is None when allowed; `rule` says in words what decided. A refused DELAYED_ONLY carries the delay."""

    allowed: bool
    code: str | None
    rule: str
    level: int
    timeliness: str
    delay_s: int


def effective_access(
    grant: Grant, channel: str, *, symbol: str, market: str | None, at_ns: int, timeliness: str = "realtime"
) -> Decision:
    """Whether the grant may see this channel of this symbol at this time, real-time unless "delayed" is asked for.

    `market` may be None when the caller does not know it: board:, index and feed: symbols name their own, any other
    symbol (also "*" and prefixes) is then allowed only by a rule for every market.
    """
    over = ended(grant, at_ns)
    if over is not None:
        return over
    if channel == "account":
        return _access_to_account(grant, symbol)
    market = market or market_of(symbol)
    matching = [rule for rule in grant.rules if _covers(rule, channel=channel, symbol=symbol, market=market)]
    if not matching:
        where = market or "every market"
        return _refused("NOT_ENTITLED", f"no product covers channel {channel} of {symbol} on {where}")
    current = [rule for rule in matching if holds(rule, at_ns)]
    if not current:
        return _refused("CONTRACT_ENDED", f"{matching[0].rule} is outside its dates")
    if channel == "raw":
        whole = [rule for rule in current if rule.level >= LEVEL_MAX]
        if not whole:
            return _refused("LEVEL_NOT_ENTITLED", f"raw messages carry every level, {current[0].rule} is cut")
        current = whole
    best = max(current, key=lambda rule: (rule.timeliness == "realtime", rule.level, -rule.delay_s))
    if best.timeliness != "realtime" and timeliness == "realtime":
        words = f"{best.rule} is delayed by {best.delay_s} s"
        return Decision(False, "DELAYED_ONLY", words, best.level, best.timeliness, best.delay_s)
    return Decision(True, None, best.rule, best.level, best.timeliness, best.delay_s)


def ended(grant: Grant, at_ns: int) -> Decision | None:
    """The refusal of everything once the key or the last contract is over; None before."""
    if grant.expires_ns is not None and at_ns >= grant.expires_ns:
        return _refused("KEY_EXPIRED", f"key {grant.key_id} has expired")
    if grant.ends_ns is not None and at_ns >= grant.ends_ns:
        return _refused("CONTRACT_ENDED", f"the contract of subscriber {grant.subscriber} has ended")
    return None


def of_level(decision: Decision, level: int) -> Decision:
    """The decision for somebody who needs so many price levels and takes no fewer."""
    if not decision.allowed or decision.level >= level:
        return decision
    return _refused("LEVEL_NOT_ENTITLED", f"{decision.rule} has {decision.level} price level(s), not {level}")


def market_of(symbol: str) -> str | None:
    """The market a symbol names itself: board:STO.G1, STO.999 (an index without a name), VNINDEX; else None."""
    head = symbol.removeprefix("board:").split(".", 1)[0]
    if ("." in symbol or symbol.startswith("board:")) and head in EVERY_MARKET:
        return head
    if symbol.startswith("feed:") and symbol[5:] in EVERY_MARKET:
        return symbol[5:]
    return None


def market_of_index(symbol: str) -> str | None:
    """The market of an index by its name; None when the name is not one of KRX's."""
    name = symbol.upper()
    return next((market for prefix, market in INDEX_PREFIXES if name.startswith(prefix)), market_of(symbol))


def _access_to_account(grant: Grant, symbol: str) -> Decision:
    if not grant.key_id:
        return _refused("NOT_ENTITLED", "the account channel needs a key")
    if symbol not in ("*", grant.subscriber):
        return _refused("NOT_ENTITLED", f"the account channel is a subscriber's own: {grant.subscriber} or *")
    return Decision(True, None, "a subscriber's own account channel", 0, "realtime", 0)


def _covers(rule: ProductRule, *, channel: str, symbol: str, market: str | None) -> bool:
    if channel not in rule.channels:
        return False
    if symbol.startswith(("feed:", "replay:")) and market is None and channel != "raw":
        return True  # the state of a feed or of a replay is of no market; who may follow a replay, its job decides
    if channel == "index" and market is None:
        market = market_of_index(symbol)
    if not (market in rule.markets if market else rule.markets >= EVERY_MARKET):
        return False
    if channel == "raw" and symbol.startswith("feed:"):
        return rule.symbols is None  # messages of whatever instrument
    if rule.symbols is None or symbol.startswith(("feed:", "board:", "replay:")):
        return True  # the state of a board concerns whoever may see one of its symbols
    return any(symbol == name or fnmatchcase(symbol, name) for name in rule.symbols)


def holds(rule: ProductRule, at_ns: int) -> bool:
    """Whether the rule's window is open."""
    return (rule.starts_ns is None or rule.starts_ns <= at_ns) and (rule.ends_ns is None or at_ns < rule.ends_ns)


def _refused(code: str, words: str) -> Decision:
    return Decision(False, code, words, 0, "", 0)
