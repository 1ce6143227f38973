"""The vocabulary of the parsed record: channels, leading members, epochs."""

from __future__ import annotations

CHANNELS = (
    "trade",
    "quote",
    "book",
    "depth",
    "stats",
    "expected",
    "foreign",
    "index",
    "status",
    "definition",
    "bar",
    "raw",
    "account",
)
EVENT_CHANNELS = frozenset({"trade", "status", "raw", "account"})
# Channels whose images replace one another per board whatever message brought them; elsewhere the MsgType belongs
# to an image's identity (an MF and an MT do not replace each other).
BOARD_IMAGES = frozenset({"depth", "stats", "expected", "index"})

KEY_END = b',"n":'


def stream_head(channel: str, symbol: str) -> str:
    """The text a record of this stream begins with, up to its number: `{"ch":"depth","s":"FPT","n":`."""
    return f'{{"ch":"{channel}","s":"{symbol}","n":'


def stream_key(record: bytes) -> bytes:
    """The stream a record belongs to, without parsing it: `{"ch":"depth","s":"FPT"`."""
    return record[: record.index(KEY_END)]


def epoch_text(epoch: int) -> str:
    """`2026112001` as clients see it: `20261120-1`."""
    return f"{epoch // 100}-{epoch % 100}"


def epoch_number(session_date: int, count: int = 1) -> int:
    """The epoch of a session date (`20261120`); `count` rises with every reset of that day, at most 99."""
    return session_date * 100 + min(count, 99)
