"""The exchange's time by origin and market, as its records tell it: which minutes are over for bars.  [pure]

Nobody's wall clock: a replayed or delayed minute ends when the records of that origin are past it. A minute counts as
over GRACE_S later, so that streams of one market that are a moment apart close no bar too early.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from subscriptions.gateway.heads import epoch_order

GRACE_S = 2

_TS = re.compile(rb',"ts":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})')
_NOT_OF_THE_EXCHANGE = frozenset({b"status", b"raw", b"account"})  # some of ours, or not in the others' order


def minute_at(ts: bytes) -> bytes:
    """The minute that bars are in at the exchange's time `2026-11-20T02:16:01`: earlier ones are over."""
    if ts[17:19] >= b"%02d" % GRACE_S:
        return ts[:16]
    try:
        at = datetime.fromisoformat(ts[:19].decode()) - timedelta(seconds=GRACE_S)
    except ValueError:  # 02:16:60
        return ts[:16]
    return at.isoformat()[:16].encode()


class BarClock:
    """Bounded by origins and markets; a new epoch begins anew, as a replay that went back does."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, bytes | None], tuple[bytes, bytes]] = {}  # → (epoch, minute)

    def note(self, origin: str, head: re.Match[bytes], line: bytes) -> bytes | None:
        """Learn from a record; the minute when it is another one than before."""
        found = _TS.match(line, head.end())
        if found is None or head[2] in _NOT_OF_THE_EXCHANGE:
            return None
        place, minute = (origin, head[8]), minute_at(found[1])
        epoch, before = self._minutes.get(place, (b"", b""))
        if (epoch == head[5] and minute <= before) or epoch_order(head[5]) < epoch_order(epoch):
            return None
        self._minutes[place] = (head[5], minute)
        return minute

    def minute(self, origin: str, market: bytes | None) -> bytes:
        """Empty when nothing is known."""
        return self._minutes.get((origin, market), (b"", b""))[1]

    def forget(self, origin: str) -> None:
        """An origin has ended."""
        self._minutes = {place: known for place, known in self._minutes.items() if place[0] != origin}
