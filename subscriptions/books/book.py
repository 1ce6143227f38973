"""The records of channel `book`: a snapshot of a ladder, and what changed between two of them (docs/protocol/book.md).

Both take their leading members from a depth record, byte for byte, so a book's record has the `n`, source sequence and
times of the image it was made from. Who keeps a book sends a snapshot where an epoch begins and a delta for every image
after it, also one that changes nothing: `n` stays contiguous.
"""

from __future__ import annotations

from zlib import crc32

from feeds.records import KEY_END
from subscriptions.books.ladder import Ladder, Level, side_text
from subscriptions.books.numbers import normal

CRC_LEVELS = 10  # of each side
CRC_EVERY = 100  # deltas whose number this divides carry the checksum; snapshots always do

_DEPTH = b'{"ch":"depth"'
_TS = b',"ts":'


def snapshot(ladder: Ladder, record: bytes, n: int | None = None) -> bytes:
    """The whole ladder under the head of the depth record it came from, with its number or `n`: a snapshot that is
    made later than its record is stamped with the number the stream has reached."""
    head = record_head(record, b"book")
    if n is not None:
        at = head.index(KEY_END) + len(KEY_END)
        head = b"%b%d%b" % (head[:at], n, head[head.index(b",", at) :])
    bids, asks = side_text(ladder.bids), side_text(ladder.asks)
    return b'%b,"kind":"snap","b":%b,"a":%b,"crc":%d}' % (head, bids, asks, checksum(ladder))


def delta(before: Ladder, after: Ladder, record: bytes) -> bytes:
    """What the depth record `record` changed: levels with their new quantity, 0 where one is gone. Both ladders are
    cut at the same level, `after` is the record's."""
    if before.level == after.level and before.bids_text == after.bids_text:
        bids = b"[]"
    else:
        bids = changes(before.bids, after.bids)
    if before.level == after.level and before.asks_text == after.asks_text:
        asks = b"[]"
    else:
        asks = changes(before.asks, after.asks)
    text = b'%b,"kind":"delta","b":%b,"a":%b' % (record_head(record, b"book"), bids, asks)
    if record_number(record) % CRC_EVERY == 0:
        return b'%b,"crc":%d}' % (text, checksum(after))
    return text + b"}"


def changes(before: list[Level], after: list[Level]) -> bytes:
    """One side's changed levels, best first, then what is gone as `[price,0]`; `[]` when nothing changed."""
    if before == after:
        return b"[]"
    old, new = dict(before), dict(after)
    changed = [level for level in after if old.get(level[0]) != level[1]]
    gone = [level for level in before if level[0] not in new]
    if changed and before:
        changed, gone = _without_respelled(changed, gone, old)
    return side_text(changed + [(price, b"0") for price, _ in gone])


def _without_respelled(
    changed: list[Level], gone: list[Level], old: dict[bytes, bytes]
) -> tuple[list[Level], list[Level]]:
    """`98500.0` that became `98500` is not gone, and no change where the quantity is the same."""
    was = {normal(price): quantity for price, quantity in gone}
    real = []
    for price, quantity in changed:
        earlier = old.get(price) or was.pop(normal(price), None)
        if earlier is None or normal(earlier) != normal(quantity):
            real.append((price, quantity))
    return real, [level for level in gone if normal(level[0]) in was]


def checksum(ladder: Ladder) -> int:
    """CRC32 of `checksum_text`."""
    return crc32(checksum_text(ladder))


def checksum_text(ladder: Ladder) -> bytes:
    """The top ten bids, `|`, the top ten offers; best first, `price:quantity` joined by `:`, each number in its
    shortest plain spelling: `98500:1200:98400:300|98600:700`."""
    return _text_of(ladder.bids) + b"|" + _text_of(ladder.asks)


def _text_of(levels: list[Level]) -> bytes:
    return b":".join([b"%b:%b" % (normal(price), normal(quantity)) for price, quantity in levels[:CRC_LEVELS]])


def record_head(record: bytes, channel: bytes) -> bytes:
    """The leading members of a depth record, up to its exchange time, under another channel's name."""
    if not record.startswith(_DEPTH):
        raise ValueError(f"expected a depth record, found {record[:40]!r}")
    return b'{"ch":"%b"%b' % (channel, record[len(_DEPTH) : record.index(b',"', record.index(_TS) + len(_TS))])


def record_number(record: bytes) -> int:
    """The `n` of a record."""
    at = record.index(KEY_END) + len(KEY_END)
    return int(record[at : record.index(b",", at)])
