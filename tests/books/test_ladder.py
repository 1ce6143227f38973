"""How a depth record becomes a ladder, and a ladder the records of `book` and `quote`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zlib import crc32

import pytest

from subscriptions.books.book import checksum, checksum_text, delta, snapshot
from subscriptions.books.ladder import Ladder
from subscriptions.books.numbers import normal
from subscriptions.books.quote import quote
from tests.books.depth_records import depth

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol" / "book.md"
HEAD = b'"s":"FPT","n":%d,"ep":"20261120-1","rx":1795140900001000000,"q":%d,"m":"STO","bd":"G1","mt":"X",'
TIME = b'"ts":"2026-11-20T02:15:00.123Z"'


def ladder(bids: object, asks: object = ()) -> Ladder:
    return Ladder.of(depth(1, bids, asks))


def own(record: bytes) -> bytes:
    """A record's own members, behind the leading ones."""
    return record.split(TIME + b",")[1]


def test_the_wires_text_stays() -> None:
    found = ladder([("98500.0", "200"), ("98400.50", "999999999999")], [("98600.000000000000000001", "0.5")])
    assert found.bids == [(b"98500.0", b"200"), (b"98400.50", b"999999999999")]
    assert found.asks == [(b"98600.000000000000000001", b"0.5")]


@pytest.mark.parametrize(
    ("bids", "expected"),
    [
        ([], []),
        ([("2", "1"), ("1", "1")], ["2:1", "1:1"]),
        ([("1", "1"), ("2", "1")], ["2:1", "1:1"]),  # not best first
        ([("0.0", "9"), ("2", "1")], ["0:9", "2:1"]),  # ATO before every limit
        ([("2", "1"), ("0.0", "9")], ["0:9", "2:1"]),
        ([("0.0", "0"), ("2", "1")], ["2:1"]),  # an empty level
        ([("2", "1"), ("1", "0.0")], ["2:1"]),  # no quantity
        ([("2", "1"), ("1", "-5")], ["2:1"]),
        ([("2.0", "1"), ("2", "3"), ("2.00", "0.5")], ["2:4.5"]),  # one price, three spellings
        ([("null", "1"), ("2", "null"), ("1", "1")], ["1:1"]),
        ([("-1", "1"), ("-0.5", "1")], ["-0.5:1", "-1:1"]),
        # two prices that are one float
        ([(f"{10**17}.1", "1"), (f"{10**17}.2", "1")], [f"{10**17}.2:1", f"{10**17}.1:1"]),
    ],
)
def test_bids_are_in_order_each_price_once(bids: object, expected: list[str]) -> None:
    assert [f"{p.decode()}:{q.decode()}" for p, q in ladder(bids).values()[0]] == expected


def test_offers_are_in_order_each_price_once() -> None:
    asks = [("3", "1"), ("2.0", "1"), ("0", "7"), ("2", "1"), ("-1", "2")]
    assert ladder([], asks).values()[1] == [(b"0", b"7"), (b"-1", b"2"), (b"2", b"2"), (b"3", b"1")]


def test_a_crossed_book_of_an_auction_stays_crossed() -> None:
    crossed = ladder([("98700.0", 100)], [("98500.0", 300)])
    assert (crossed.bids[0][0], crossed.asks[0][0]) == (b"98700.0", b"98500.0")


def test_cuts() -> None:
    whole = ladder([(9 - n, 1) for n in range(5)], [(10, 1)])
    assert [len(whole.cut(level).bids) for level in (1, 3, 5, 10, 0)] == [1, 3, 5, 5, 5]
    assert whole.cut(3) is whole.cut(3)
    assert whole.cut(3).cut(10).bids == whole.cut(3).bids
    assert whole.cut(0) is whole


def test_equality_is_of_values() -> None:
    assert ladder([("98500.0", "200")]) == ladder([("98500", "200.0")])
    assert ladder([("98500.0", "200")]) != ladder([("98500.0", "201")])


def test_a_broken_array_is_an_error() -> None:
    with pytest.raises(ValueError, match="not found"):
        Ladder.of(b'{"ch":"depth","s":"FPT","n":1,"b":[[98500.0,200,"a":[]')


def test_a_snapshot_byte_for_byte() -> None:
    record = depth(7, [("98500.0", "200")], [])
    crc = crc32(b"98500:200|")
    expected = b'{"ch":"book",%b%b,"kind":"snap","b":[[98500.0,200]],"a":[],"crc":%d}'
    assert snapshot(Ladder.of(record), record) == expected % (HEAD % (7, 1007), TIME, crc)
    assert snapshot(Ladder.of(record), record, 9) == expected % (HEAD % (9, 1007), TIME, crc)


def test_a_delta_byte_for_byte() -> None:
    before = ladder([("98500.0", "200"), ("98400.0", "100")], [("98600.0", "50")])
    record = depth(8, [("98500.0", "150"), ("98300.0", "10")], [("98600.0", "50")])
    expected = b'{"ch":"book",%b%b,"kind":"delta","b":[[98500.0,150],[98300.0,10],[98400.0,0]],"a":[]}'
    assert delta(before, Ladder.of(record), record) == expected % (HEAD % (8, 1008), TIME)


def test_every_hundredth_delta_has_the_checksum() -> None:
    made = []
    for n in (99, 100, 101, 200):
        record = depth(n, [("98500.0", n)], [])
        made.append(json.loads(delta(ladder([]), Ladder.of(record), record)).get("crc"))
    assert made == [None, crc32(b"98500:100|"), None, crc32(b"98500:200|")]


def test_another_spelling_is_no_change() -> None:
    record = depth(2, [("98500", "200.0"), ("98400.00", "7")], [])
    before = ladder([("98500.0", "200"), ("98400.0", "5")])
    assert own(delta(before, Ladder.of(record), record)) == b'"kind":"delta","b":[[98400.00,7]],"a":[]}'


def test_a_level_that_leaves_the_depth_is_gone() -> None:
    record = depth(2, [(4, 1), (3, 1), (2, 1)], [])
    before, after = ladder([(3, 1), (2, 1)]), Ladder.of(record)
    assert own(delta(before.cut(1), after.cut(1), record)) == b'"kind":"delta","b":[[4,1],[3,0]],"a":[]}'
    assert own(delta(before.cut(3), after.cut(3), record)) == b'"kind":"delta","b":[[4,1]],"a":[]}'


def test_a_replays_job_and_odd_names_pass() -> None:
    record = depth(1, [], []).replace(b'"ep":"20261120-1",', b'"ep":"20261120-1","job":"replay:12",')
    record = record.replace(b'"FPT"', rb'"a,\",\"ts\":\"b"').replace(b'"bd":"G1"', b'"bd":null')
    made = json.loads(snapshot(Ladder.of(record), record))
    assert (made["job"], made["s"], made["bd"], made["kind"]) == ("replay:12", 'a,","ts":"b', None, "snap")


def test_only_depth_records_make_books() -> None:
    record = depth(1, [], []).replace(b"depth", b"trade")
    with pytest.raises(ValueError, match="expected a depth record"):
        snapshot(Ladder.of(record), record)


def test_quotes() -> None:
    both = depth(5, [("98500.0", "200"), ("98400.0", "1")], [("98600.0", "50")])
    auction = depth(6, [("0.0", "5000"), ("98400.0", "1")], [])
    assert quote(both) == b'{"ch":"quote",%b%b,"bp":98500.0,"bq":200,"ap":98600.0,"aq":50}' % (HEAD % (5, 1005), TIME)
    assert own(quote(auction)) == b'"bp":0.0,"bq":5000,"ap":null,"aq":null}'
    assert quote(both, Ladder.of(both)) == quote(both)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("118500.0", "118500"), ("118500", "118500"), ("0.50", "0.5"), ("-0.0", "0"), ("0", "0"), ("100", "100"),
     ("-12.50", "-12.5"), ("1e-7", "0.0000001"), ("1.5E3", "1500"), ("100000000000000000.10", "100000000000000000.1")],
)  # fmt: skip
def test_the_one_spelling_of_a_number(text: str, expected: str) -> None:
    assert normal(text.encode()) == expected.encode()


def test_the_checksum_takes_ten_levels() -> None:
    many = ladder([(20 - n, 1) for n in range(12)], [(30 + n, 1) for n in range(12)])
    assert checksum_text(many).count(b":") == 2 * 19
    assert checksum(many) == checksum(many.cut(10)) != checksum(many.cut(5))


def test_the_examples_of_the_document() -> None:
    rows = re.findall(r"^\| (.+) \| `(.*)` \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == 3
    for book, text, crc in rows:
        bids, _, asks = book.partition("; ")
        sides = [re.findall(r"([\d.]+) × (\d+)", side) for side in (bids, asks)]
        made = ladder(sides[0], sides[1])
        assert checksum_text(made).decode() == text.replace("\\|", "|")
        assert checksum(made) == int(crc)
