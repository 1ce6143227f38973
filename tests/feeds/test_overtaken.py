"""Snapshots that come too late for their place: told so, and without images; every other one as it was."""

from __future__ import annotations

import json

from feeds.blocks import FLAG_MESSAGE, FLAG_OVERTAKEN, Block
from feeds.capture.raw_stage import RawStage
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from testbed.reference_path import raw_of
from tests.feeds.data_path import B, DataPath, feed_config
from tests.feeds.golden_messages import FIRST, by_type
from tests.feeds.transcript import Transcript
from tests.feeds.wire import ISIN, SENT, edited, message
from tests.feeds.wire import book as full_book

OTHER = "VN000000VNM8"


def book(sequence: int, ms: int, *, isin: str = ISIN, board: str = "G1") -> bytes:
    return message("X", sequence, (30001, "STO"), (20004, board), (55, isin), sent=f"20261120 02:15:00.{ms:03}")


def snapshot(sequence: int, ms: int, *, isin: str = ISIN) -> bytes:
    return message("W", sequence, (30001, "STO"), (20004, "G1"), (55, isin), sent=f"20261120 02:15:00.{ms:03}")


def told(*arrivals: tuple[int, str, bytes]) -> list[object]:
    """The numbers that were told to be overtaken."""
    transcript = Transcript()
    for ms, line, data in arrivals:
        transcript.at(ms, line, data)
    return [event[2] for event in transcript.events if event[0] == "overtaken"]


def test_a_snapshot_that_the_slower_line_alone_brings() -> None:
    begin = [(0, "A", book(1, 0)), (1, "A", snapshot(1, 1))]
    assert told(*begin, (300, "A", book(2, 300)), (450, "B", snapshot(2, 5))) == [2]
    assert told(*begin, (450, "B", snapshot(2, 5))) == []


def test_it_is_told_just_before_it_goes_out() -> None:
    transcript = Transcript()
    transcript.at(0, "A", book(1, 0), snapshot(1, 1), book(2, 300))
    transcript.at(450, "B", snapshot(2, 5))
    at = transcript.events.index(("overtaken", "W", 2))
    assert len(transcript.events) == at + 2, "the snapshot itself is behind it"


def test_other_instruments_and_boards_and_the_same_millisecond_overtake_nothing() -> None:
    begin = [(0, "A", book(1, 0)), (1, "A", snapshot(1, 1))]
    assert told(*begin, (300, "A", book(2, 300, isin=OTHER)), (450, "B", snapshot(2, 5))) == []
    assert told(*begin, (300, "A", book(2, 300, board="T1")), (450, "B", snapshot(2, 5))) == []
    assert told(*begin, (300, "A", book(2, 5)), (450, "B", snapshot(2, 5))) == []


def test_what_still_waits_overtakes_nothing() -> None:
    """The book 3 waits for 2; the snapshot 2 came, for others, with 3 of its stream: it goes out before the book."""
    begin = [(0, "A", book(1, 0)), (1, "A", snapshot(1, 1))]
    waits = [(280, "A", snapshot(3, 280, isin=OTHER)), (300, "A", book(3, 300)), (350, "B", snapshot(2, 5))]
    assert told(*begin, *waits, (360, "B", book(2, 290))) == []


def test_one_that_came_behind_what_waits() -> None:
    """It goes out behind it."""
    begin = [(0, "A", book(1, 0)), (1, "A", snapshot(1, 1))]
    assert told(*begin, (300, "A", book(3, 300)), (350, "B", snapshot(2, 5)), (360, "B", book(2, 290))) == [2]


def test_one_that_fills_a_hole_of_its_own_stream_in_time() -> None:
    """2 is lost on A, 3 waits for it; nobody knew whose snapshot it is when the book went out."""
    begin = [(0, "A", book(1, 0)), (1, "A", snapshot(1, 1))]
    come = [(10, "A", snapshot(3, 10, isin=OTHER)), (20, "A", book(2, 20)), (60, "B", snapshot(2, 5))]
    assert told(*begin, *come) == [2]


def test_its_images_are_left_out_and_nothing_else() -> None:
    data = by_type(1, FIRST)["W"]
    sequence = int(data.split(b"\x0134=")[1].split(b"\x01")[0])
    market = data.split(b"\x0130001=")[1].split(b"\x01")[0].decode()
    control = json.dumps([market, "W", sequence]).encode()
    said = (1, 0, FLAG_OVERTAKEN, control)
    entry = (1, 0, FLAG_MESSAGE, data)

    def records(*entries: tuple[int, int, int, bytes]) -> tuple[int, ParserCounts]:
        counts = ParserCounts()
        pipeline = Pipeline(0, {}, translator=Translator(), counts=counts)
        return len(pipeline.feed(Block(1, 1, 1, list(entries)), "live", "STO").records), counts

    plain, _ = records(entry)
    assert plain
    behind, counts = records(said, entry, entry)
    assert (behind, counts.late, counts.late_images, counts.duplicates) == (0, 1, plain, 1)
    # The other publisher of a pair has brought it in its place: what this one says of it says nothing.
    twice, counts = records(entry, said, entry)
    assert (twice, counts.late, counts.duplicates) == (plain, 0, 1)


def sent_at(data: bytes, ms: int) -> bytes:
    return edited(data, SENT.encode(), f"20261120 02:15:00.{ms:03}".encode())


def book_snapshot(sequence: int) -> bytes:
    """A W in book shape: as an X without 75 and 60."""
    return edited(edited(full_book(sequence), b"35=X", b"35=W"), b"75=20261120\x0160=021500120\x01", b"")


def test_the_newer_book_stays_the_last_one() -> None:
    """The whole way: what a client holds after a W that B alone brought late is the book of after it."""
    path = DataPath()
    path.on_both(sent_at(full_book(1), 123), sent_at(book_snapshot(1), 124))
    path.arrive(sent_at(full_book(2), 130), sent_at(full_book(3), 300))
    path.arrive(sent_at(book_snapshot(2), 125), line=B)
    books = [one for one in map(json.loads, path.parse()) if one["ch"] == "depth"]
    assert [(one["mt"], one["q"]) for one in books] == [("X", 1), ("W", 1), ("X", 2), ("X", 3)]
    assert [one["n"] for one in books] == [1, 2, 3, 4]
    assert (path.counts.late, path.dead) == (1, [])


def test_the_stage_tells_the_partition_of_the_snapshot() -> None:
    feed = feed_config(partitions=3)
    entries = [(0, 0, 0, book(1, 0)), (1, 0, 0, snapshot(1, 1)), (2, 0, 0, book(2, 300)), (3, 1, 0, snapshot(2, 5))]
    blocks = [block for block in raw_of([Block(1, 1, 1, entries)], feed) if block.entries]
    late = entries[3][3]
    told = [[flags for *_, flags, data in one.entries if flags == FLAG_OVERTAKEN or data == late] for one in blocks]
    assert [flags for flags in told if flags] == [[FLAG_OVERTAKEN, FLAG_MESSAGE]]
    stage = RawStage(feed, "live", publisher="p")
    stage.push(Block(1, 1, 1, entries))
    stage.drain()
    assert stage.drained_messages == 4, "what we say of it is no message of the feed"
