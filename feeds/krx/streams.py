"""Which sequence a message belongs to: one counter per market for the price types, one per type for the others."""

from __future__ import annotations

SHARED = frozenset({"X", "f", "M7", "M8", "ME", "MF"})
SHARED_STREAM = "market"
HEARTBEAT = "MV"
SNAPSHOT = b"W"
UNCHECKED = frozenset({"M1"})  # krx_mdds: M1 is not checked


def stream_of(market: str, msg_type: str) -> str:
    """The stream of a message: `market`, or the message type itself."""
    if msg_type in SHARED or (msg_type == "MX" and market == "DVX"):
        return SHARED_STREAM
    return msg_type
