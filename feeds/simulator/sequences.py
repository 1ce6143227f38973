"""Counts the sequence numbers (tag 34) of one market, as krx_mdds.md shares them out."""

SHARED_TYPES = frozenset({"X", "f", "M7", "M8", "ME", "MF"})
MARKET_STREAM = "market"


def stream_of(market: str, msg_type: str) -> str:
    """The stream a message counts in: `market` for the shared counter, else the message type itself."""
    if msg_type in SHARED_TYPES or (market == "DVX" and msg_type == "MX"):
        return MARKET_STREAM
    return msg_type


class Sequences:
    """The counters of one market; each starts at 1 and never skips."""

    def __init__(self, market: str) -> None:
        self._market = market
        self._streams: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def next(self, msg_type: str) -> tuple[str, int]:
        """(stream, sequence number) of the market's next message of this type."""
        stream = self._streams.get(msg_type)
        if stream is None:
            stream = self._streams[msg_type] = stream_of(self._market, msg_type)
            self._last.setdefault(stream, 0)
        sequence = self._last[stream] = self._last[stream] + 1
        return stream, sequence

    def reset(self) -> None:
        """A new trading day: every counter starts at 1 again."""
        self._last = dict.fromkeys(self._last, 0)

    def go_back(self, count: int) -> None:
        """A fault: every counter jumps back by `count`, to 1 at most."""
        self._last = {stream: max(0, last - count) for stream, last in self._last.items()}
