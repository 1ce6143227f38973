"""One message of the fake exchange with its identity."""

from typing import NamedTuple


class Message(NamedTuple):
    feed: str
    market: str
    """Empty for the line heartbeat, which belongs to no market."""
    stream: str
    """`market` (the shared counter) or the message type; empty for the heartbeat."""
    sequence: int
    """Tag 34; 0 for the heartbeat."""
    msg_type: str
    isin: str
    """Empty where the message is about a board, an index or the line."""
    data: bytes
