"""The cast of the gateway's tests: Alice may see everything, Bob a little, the stranger what is public; and records."""

from __future__ import annotations

import json
from collections.abc import Iterable

from subscriptions.entitlements import EVERY_MARKET, Grant, Limits, ProductRule
from subscriptions.protocol import CHANNELS

LIMITS = Limits(symbols=50, ops_per_s=1_000, queue_bytes=1_048_576, sessions=5)
EPOCH = "20261120-1"
INSTRUMENTS = {
    "VN000000FPT1": ("FPT", "STO"),
    "VN000000VNM8": ("VNM", "STO"),
    "VN000000SHS1": ("SHS", "STX"),
}


def rule(channels: Iterable[str], **changes: object) -> ProductRule:
    members: dict[str, object] = {
        "rule": "contract C1, product P", "product": "P", "markets": EVERY_MARKET, "channels": frozenset(channels),
        "level": 10, "timeliness": "realtime", "delay_s": 0, "symbols": None, "starts_ns": None, "ends_ns": None,
        "public": False,
    }  # fmt: skip
    return ProductRule(**(members | changes))  # type: ignore[arg-type]


def grant(*rules: ProductRule, **changes: object) -> Grant:
    members: dict[str, object] = {
        "subscriber_id": 1, "subscriber": "acme", "key_id": "alice001", "scopes": frozenset({"stream", "replay"}),
        "rules": rules, "limits": LIMITS, "expires_ns": None,
    }  # fmt: skip
    return Grant(**(members | changes))  # type: ignore[arg-type]


def alice() -> Grant:
    return grant(rule(CHANNELS))


def bob() -> Grant:
    return grant(
        rule({"trade"}, symbols=frozenset({"FPT", "VNM"})),
        rule({"depth"}, level=3, markets=frozenset({"STO"})),
        rule({"stats"}, timeliness="delayed", delay_s=900),
        subscriber_id=2,
        subscriber="bobco",
        key_id="bob00001",
    )


def stranger() -> Grant:
    """Nobody's session: public products only."""
    return grant(
        rule({"index"}, public=True), subscriber_id=0, subscriber="anonymous", key_id="", scopes=frozenset({"stream"})
    )


def record(channel: str, symbol: str, number: int, **members: object) -> bytes:
    """A record line with its members in the fixed order."""
    market = members.pop("m", "STO")
    board, kind, epoch = members.pop("bd", "G1"), members.pop("mt", "X"), members.pop("ep", EPOCH)
    head: dict[str, object] = {"ch": channel, "s": symbol, "n": number, "ep": epoch}
    job = members.pop("job", None)
    if job is not None:
        head["job"] = job
    head |= {"rx": 1, "q": 1000 + number, "m": market, "bd": board, "mt": kind, "ts": None}
    return json.dumps(head | members, separators=(",", ":")).encode()


def depth(symbol: str, number: int, levels: int = 10, **members: object) -> bytes:
    bids = [[100 - i, 10 * (i + 1)] for i in range(levels)]
    offers = [[101 + i, 10 * (i + 1)] for i in range(levels)]
    return record("depth", symbol, number, b=bids, a=offers, tb=1, ta=2, **members)


def trade(symbol: str, number: int, **members: object) -> bytes:
    return record("trade", symbol, number, p=100, v=number, **members)
