"""A publisher that starts from its cursor reads some of the journal again: those are duplicates, no disagreement."""

from __future__ import annotations

from feeds.blocks import Block, Entry
from feeds.capture.raw_stage import RawStage
from feeds.config import FeedConfig, LineConfig

LINES = tuple(LineConfig(name, "127.0.0.1", port) for name, port in (("A", 1), ("B", 2)))
FEED = FeedConfig(id=1, name="STO", exchange="HOSE", markets=("STO",), lines=LINES, partitions=2)
EPOCH = 2026112101


def message(number: int, text: bytes = b"") -> bytes:
    body = (
        b"35=X\x0149=VNMGW\x0156=9\x0134=%d\x0152=20261121 02:00:00.000\x0130001=STO\x0155=VN000000%04d\x0158=%s\x01"
        % (number, number % 3, text)
    )
    framed = b"8=FIX.4.4\x019=%d\x01%s" % (len(body), body)
    return b"%s10=%03d\x01" % (framed, sum(framed) % 256)


def block(first_seq: int, *entries: tuple[int, bytes]) -> Block:
    rows: list[Entry] = [((first_seq + at) * 1_000, line, 0, data) for at, (line, data) in enumerate(entries)]
    return Block(1, EPOCH, first_seq, rows)


def both(*numbers: int) -> list[tuple[int, bytes]]:
    return [(line, message(number)) for number in numbers for line in (0, 1)]


def test_what_is_read_again_disagrees_with_nothing() -> None:
    before = RawStage(FEED, "live", publisher="a")
    again = block(1, *both(*range(1, 11)))
    before.push(again)
    after = RawStage(FEED, "live", publisher="b")
    after.restore(before.state())
    after.push(again)
    assert [(line.first, line.duplicate, line.disagreed) for line in after.arbiter.lines] == [(0, 10, 0), (0, 10, 0)]
    after.push(block(21, *both(11, 12), (1, message(11, b"other"))))
    assert [line.disagreed for line in after.arbiter.lines] == [0, 1]
    assert after.arbiter.unique == 2
