"""Whether a snapshot comes too late for its place among the messages of its instrument.

Theory: a snapshot (W) and the book images and trades (X) of its instrument are in different sequences, so a W that
the slower line alone brings is the next of its own stream though newer X have gone out. Only SendingTime tells: one
gateway sends all messages of a market. Nearly always a W is as new as the newest X of its market, which one comparison
says; else the last datagrams, which arbitration keeps to know copies, hold what has gone out since. Times have
milliseconds: of the same one, the W counts as newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from feeds.capture.sequencer import Sequencer
from feeds.fix.framing import HEAD, is_whole

IMAGE = b"X"  # replaces what a snapshot says of its board
_INSTRUMENT, _BOARD = b"\x0155=", b"\x0120004="


def is_overtaken(
    snapshot: bytes, shared: Sequencer, *, recent: Iterable[Mapping[bytes, int]], unsent: Set[bytes]
) -> bool:
    """Whether an image of the instrument and board of `snapshot` that was sent after it has gone out. `shared` is the
    stream of images of its market, `recent` the last datagrams by generation, `unsent` what has its turn but is still
    to go out."""
    head = HEAD.match(snapshot)
    if head is None or head[4] >= shared.last_sent:
        return False
    sent, market = head[4], head[5]
    marks = (_field(snapshot, _INSTRUMENT), _field(snapshot, _BOARD))
    for generation in recent:
        for data in generation:
            if marks[0] in data and marks[1] in data and data not in unsent:
                head = HEAD.match(data)
                if head is None or head[2] != IMAGE or head[4] <= sent or head[5] != market:
                    continue
                number = int(head[3])
                if shared.base <= number < shared.expected and is_whole(data, head):
                    return True
    return False


def _field(data: bytes, name: bytes) -> bytes:
    """A field with its separators; they alone (in every message) when it has none."""
    start = data.find(name)
    return data[start : data.find(b"\x01", start + 1) + 1] if start >= 0 else b"\x01"
