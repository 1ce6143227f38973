"""After a gap the market's streams are suspect until their next image or W; lost trades and late starts are said."""

from __future__ import annotations

import json

import pytest

from feeds.parser import checkpoint
from feeds.parser.context import Context
from tests.feeds.data_path import MS, DataPath
from tests.feeds.wire import ISIN, Pair, book, entry, expected, message, trade

VNM = "VN000000VNM1"
WAIT_MS = 300


def recovery(
    sequence: int, *, isin: str = ISIN, board: str = "G1", volume: int = 412300, session: str = "40", close: str = "0.0"
) -> bytes:
    """W: book and statistics without a last trade, as the exchange's periodic snapshot."""
    body: list[Pair] = [(30001, "STO"), (20004, board), (336, session), (55, isin), (387, volume), (381, "1000.0")]
    body += [(30521, 100), (30522, 200), (30523, 1), (30524, 2)]
    body += [(30561, "98100.0"), (30562, "99000.0"), (30563, "97900.0"), (20026, close), (268, 2)]
    body += entry(1, "1", 1, price="98500.0", quantity="100") + entry(2, "0", 1, price="98400.0", quantity="200")
    return message("W", sequence, *body)


def deal(sequence: int, total: int, *, quantity: int = 100, isin: str = ISIN, board: str = "G1") -> bytes:
    """X of a trade with a total volume."""
    body: list[Pair] = [(30001, "STO"), (20004, board), (336, "40"), (55, isin), (75, "20261120"), (60, "021500120")]
    body += [(387, total), (381, f"{total * 10}.0"), (268, "4")]
    for number, (kind, price) in enumerate((("2", "10.0"), ("4", "10.0"), ("7", "10.0"), ("8", "10.0")), 1):
        body += entry(number, kind, 0, price=price, quantity=str(quantity) if kind == "2" else "0")
    return message("X", sequence, *body)


def lose(path: DataPath) -> list[str]:
    """The wait is over: the gap before what waits is declared; what this says."""
    path.now_ns += WAIT_MS * MS
    path.stage.tick(path.now_ns)
    return said(path)


def said(path: DataPath) -> list[str]:
    """Parse; the status records of it in short, late starts left out."""
    return [_short(row) for row in map(json.loads, path.parse()) if row["ch"] == "status"]


def _short(row: dict[str, object]) -> str:
    match row["event"]:
        case "gap":
            return f"gap {row['stream']} {row['from']}-{row['to']}"
        case "suspect":
            return f"suspect {row['m']} {row['streams']} by {row['cause']}"
        case "healed":
            return f"healed {row['m']} {row['streams']} unproven {row['unproven']}"
        case "tape":
            return f"tape {row['s']} {row['bd']} {row['missing']}"
    return str(row["event"])


def started() -> DataPath:
    """Two symbols that have traded and have a book: six streams."""
    path = DataPath(partitions=1)
    path.arrive(deal(1, 100), book(2), deal(3, 500, isin=VNM), book(4, isin=VNM))
    assert said(path) == []
    return path


def test_images_heal_stream_by_stream() -> None:
    """F19, I2: nothing was missing of the tape."""
    path = started()
    path.arrive(book(6))
    assert lose(path) == ["gap STO.market 5-5", "suspect STO 6 by gap"]
    path.arrive(deal(7, 200), book(8, isin=VNM))
    assert said(path) == []
    path.arrive(deal(9, 600, isin=VNM))
    assert said(path) == ["healed STO 6 unproven 0"]
    assert path.pipelines[0].contexts["live", "KRX"].suspects.left() == 0


def test_lost_trades_are_said_once_with_their_volume() -> None:
    path = started()
    path.arrive(book(6))
    lose(path)
    path.arrive(deal(7, 350), deal(8, 450))  # 100 before, 150 of 250 were not seen
    assert said(path) == ["tape VN000000FPT1 G1 150"]
    (tape,) = [row for row in map(json.loads, path.records) if row.get("event") == "tape"]
    assert (tape["by_q"], tape["vol0"], tape["vol1"], tape["m"], tape["mt"]) == (7, 100, 350, "STO", "tape")


def test_a_recovery_heals_its_symbol_and_repairs_the_volume() -> None:
    path = started()
    path.arrive(book(6))
    lose(path)
    path.arrive(recovery(1, volume=700))
    assert said(path) == ["tape VN000000FPT1 G1 600"]
    stats = [row for row in map(json.loads, path.records) if row["ch"] == "stats"][-1]
    assert (stats["vol"], stats["o"], stats["c"], stats["mt"]) == (700, 98100.0, None, "W")
    path.arrive(deal(7, 800))  # the W has told: not again
    assert said(path) == []
    path.arrive(recovery(2, isin=VNM, volume=500))
    assert said(path) == ["healed STO 6 unproven 0"]


def test_a_recovery_keeps_the_last_price_when_nothing_traded() -> None:
    path = started()
    path.arrive(recovery(1, volume=100))
    stats = [row for row in map(json.loads, path.parse()) if row["ch"] == "stats"][-1]
    assert (stats["vol"], stats["c"], stats.get("close")) == (100, 10.0, None)
    path.arrive(recovery(2, volume=100, session="99", close="10.0"))
    stats = [row for row in map(json.loads, path.parse()) if row["ch"] == "stats"][-1]
    assert (stats["c"], stats["close"]) == (10.0, 10.0)


def test_totals_are_checked_per_board() -> None:
    path = DataPath(partitions=1)
    path.arrive(deal(1, 100), deal(2, 7_000, board="T1"), deal(4, 200))
    assert lose(path) == ["gap STO.market 3-3", "suspect STO 2 by gap"]
    path.arrive(deal(5, 300))
    assert said(path) == []  # put-through is not proven yet
    path.arrive(deal(6, 9_000, board="T1", quantity=500))
    assert said(path) == ["tape VN000000FPT1 T1 1500", "healed STO 2 unproven 0"]


def two_boards() -> DataPath:
    """One symbol with a book on the main and on the odd-lot board, and a trade."""
    path = DataPath(partitions=1)
    path.arrive(deal(1, 100), book(2), book(3, board="G4"), book(4), book(5, board="G4"), book(7))
    assert lose(path) == ["gap STO.market 6-6", "suspect STO 3 by gap"]
    return path


def test_books_are_proven_per_board() -> None:
    path = two_boards()
    suspects = path.pipelines[0].contexts["live", "KRX"].suspects
    path.arrive(deal(8, 200), book(9), book(10))
    assert said(path) == []
    assert (suspects.left("STO") > 0, suspects.boards) == (True, {ISIN: ["G4"]})
    path.arrive(book(11, board="T1"))  # a board that is new proves itself only
    assert said(path) == []
    path.arrive(book(12, board="G4"))
    assert said(path) == ["healed STO 3 unproven 0"]
    assert suspects.boards == {}
    numbers = [row["n"] for row in map(json.loads, path.records) if row["ch"] == "depth"]
    assert numbers == list(range(1, 10)), "one stream, whatever the board"


def test_a_recovery_proves_the_book_of_its_board() -> None:
    path = two_boards()
    path.arrive(recovery(1, volume=100), deal(8, 200))
    assert said(path) == []
    path.arrive(book(9, board="G4"))
    assert said(path) == ["healed STO 3 unproven 0"]


def test_a_second_gap_makes_every_board_suspect_again() -> None:
    path = two_boards()
    path.arrive(deal(8, 200), book(9), deal(11, 300))
    assert lose(path) == ["gap STO.market 10-10", "suspect STO 3 by gap"]
    path.arrive(book(12, board="G4"))
    assert said(path) == []
    path.arrive(book(13))
    assert said(path)[0].startswith("healed STO")


@pytest.mark.parametrize("handed_over_at", range(6))
def test_a_successor_knows_which_boards_are_proven(handed_over_at: int) -> None:
    """A checkpoint anywhere between: the same records."""
    said_by: list[list[str]] = []
    for handed_over in (False, True):
        path = two_boards()
        rest = [deal(8, 200), book(9), book(10, board="G4"), book(11), book(12, board="G4"), deal(13, 300)]
        for at, data in enumerate(rest):
            if handed_over and at == handed_over_at:
                body = checkpoint.encode(path.pipelines[0], "run", "owner")
                path.pipelines[0].contexts = {(c.origin, c.feed): c for c in checkpoint.decode(body).contexts}
                assert checkpoint.encode(path.pipelines[0], "run", "owner") == body
            path.arrive(data)
            path.parse()
        said_by.append(path.records)
    assert said_by[0] == said_by[1]


def test_a_first_trade_after_a_gap_counts_from_zero() -> None:
    path = started()
    path.arrive(book(6))
    lose(path)
    path.arrive(deal(7, 900, isin="VN000000NEW1"))
    assert said(path) == ["tape VN000000NEW1 G1 800"]


def test_the_second_round_of_snapshots_proves_the_rest() -> None:
    """A symbol that neither trades nor is snapshotted cannot hold the market suspect for the day."""
    path = started()
    path.arrive(book(6))
    lose(path)
    path.arrive(recovery(1, volume=100))
    assert said(path) == []
    path.arrive(recovery(2, volume=100))
    assert said(path) == ["healed STO 3 unproven 3"]


def test_another_market_is_not_suspect() -> None:
    path = started()
    path.arrive(trade(1, market="STX", isin="VN000000SHS1"), trade(3, market="STX", isin="VN000000SHS1"))
    assert lose(path) == ["gap STX.market 2-2", "suspect STX 2 by gap", "healed STX 2 unproven 0"]
    path.arrive(book(5))
    assert said(path) == []


def test_a_gap_of_a_stream_without_books_makes_nothing_suspect() -> None:
    path = started()
    for sequence in (1, 3):
        path.arrive(message("MT", sequence, (30001, "STO"), (55, ISIN), (331, sequence)))
    assert lose(path) == ["gap STO.MT 2-2"]


def test_a_late_copy_heals_nothing() -> None:
    path = started()
    path.arrive(book(6))
    lose(path)
    path.arrive(deal(5, 150))
    rows = [json.loads(record) for record in path.parse()]
    assert [(row["ch"], row["q"]) for row in rows] == [("trade", 5)]
    assert path.pipelines[0].contexts["live", "KRX"].suspects.left() > 3


def test_expected_prices_do_not_hold_the_market() -> None:
    path = started()
    path.arrive(expected(5))
    path.arrive(book(7), deal(8, 200))
    assert lose(path) == ["gap STO.market 6-6", "suspect STO 7 by gap"]
    path.arrive(deal(9, 600, isin=VNM), book(10, isin=VNM))
    assert said(path) == ["healed STO 6 unproven 1"]


def test_a_late_start_is_proven_by_a_round_of_snapshots() -> None:
    path = DataPath(partitions=1)
    path.arrive(deal(501, 9_000), book(502), deal(503, 800, isin=VNM))
    assert lose(path) == []
    starts = [json.loads(record) for record in path.starts]
    assert [(row["event"], row.get("stream"), row.get("from"), row.get("to")) for row in starts] == [
        ("late_start", "STO.market", 1, 500),
        ("suspect", None, None, None),
    ]
    path.arrive(deal(504, 9_100), book(505))  # images of what is known prove nothing of what is not
    assert said(path) == []
    path.arrive(recovery(1, volume=9_100), recovery(2, isin=VNM, volume=800), book(506))
    assert said(path) == []
    path.arrive(recovery(3, volume=9_100), recovery(4, isin=VNM, volume=800))
    (healed,) = said(path)
    assert healed.startswith("healed STO")
    context = path.pipelines[0].contexts["live", "KRX"]
    assert context.suspects.report() == (context.suspects.through_ns, 0)


def test_before_a_late_start_nobody_knows_the_totals() -> None:
    path = DataPath(partitions=1)
    path.arrive(deal(501, 9_000), book(503))
    assert lose(path)[0] == "gap STO.market 502-502"
    path.arrive(deal(504, 7_777, isin=VNM))
    assert said(path) == []


def test_a_new_epoch_has_no_suspects() -> None:
    """F27."""
    path = started()
    path.arrive(book(6))
    lose(path)
    path.epoch += 100
    path.arrive(deal(1, 50))
    assert said(path) == []
    assert path.pipelines[0].contexts["live", "KRX"].suspects.doubts == {}


def test_every_record_is_numbered_on() -> None:
    """I7: streams leave the table and come back without losing their numbers."""
    path = started()
    for sequence in range(6, 40, 3):
        path.arrive(book(sequence), deal(sequence + 1, 100 * sequence))
        lose(path)
    path.arrive(recovery(1, volume=9_999_999), recovery(2, volume=9_999_999))
    path.parse()
    numbers: dict[tuple[str, str], list[int]] = {}
    for row in map(json.loads, path.records):
        numbers.setdefault((row["ch"], row["s"]), []).append(row["n"])
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    assert path.stage.arbiter.missing == path.counts.gaps  # every gap here is one number


def test_a_successor_goes_on_from_the_checkpoint() -> None:
    """I14: the same records, whether one parser made them or two."""
    arrivals = [book(6), deal(7, 350), recovery(1, volume=350), book(8, isin=VNM), recovery(2, volume=350)]
    whole, taken_over = started(), started()
    for data in arrivals:
        for path in (whole, taken_over):
            path.arrive(data)
            lose(path)
        pipeline = taken_over.pipelines[0]
        state = checkpoint.decode(checkpoint.encode(pipeline, "r", "o"))
        pipeline.contexts = {(c.origin, c.feed): c for c in state.contexts}
    assert whole.records == taken_over.records
    assert any('"event":"healed"' in record for record in whole.records)


def test_an_old_checkpoint_is_read() -> None:
    """One written before there were suspects."""
    state = Context("live", "KRX").state()
    del state["suspects"], state["markets"]
    assert Context.restore(state).suspects.report() == (0, 0)
