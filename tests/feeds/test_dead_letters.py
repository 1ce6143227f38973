"""Dead letters: kept within their bounds, chosen, shown, and put in again once, in order, after a fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feeds.blocks import decode_block
from feeds.dead_letters.choice import Choice, UnknownLetter, chosen, letters_of
from feeds.dead_letters.files import SEGMENTS, DeadLetterFiles
from feeds.dead_letters.reinjection import prepare
from feeds.dead_letters.shown import page, row
from feeds.parser import checkpoint
from feeds.parser.dead_letter import DeadLetter
from feeds.parser.translator import Rejected, Translator
from tests.feeds.data_path import EPOCH, T0_NS, DataPath, feed_config
from tests.feeds.wire import book, edited, trade

DAY_NS = 86_400 * 1_000_000_000


def letter(n: int = 1, **changes: object) -> DeadLetter:
    first = DeadLetter("CHECKSUM", "found '\x1b[1m'", 12, trade(n), T0_NS + n, 0, "KRX", EPOCH, "live", n)
    return first._replace(**changes)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ kept and chosen
def test_a_letter_is_its_own_inverse_and_keeps_its_id() -> None:
    assert DeadLetter.from_json(letter().as_json()) == letter()
    assert letter().id == letter(capture_seq=9, text="other words").id
    assert len({letter(n).id for n in range(50)}) == 50


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"nonsense", b'{"reason":"X"}', b"null"])
def test_what_is_no_letter_is_left_out(text: bytes) -> None:
    with pytest.raises(ValueError):
        DeadLetter.from_json(text)
    assert list(letters_of([letter().as_json(), text, letter().as_json()])) == [letter()]


def test_files_are_bounded_by_size(tmp_path: Path) -> None:
    files = DeadLetterFiles(tmp_path, bytes_max=8_000, days_max=30)
    for n in range(1_000):
        files.append(b"%04d" % n + b"x" * 95, T0_NS + n)
    kept = [int(text[:4]) for text in files.read()]
    assert kept == list(range(kept[0], 1_000))
    assert 8_000 * (SEGMENTS - 1) / SEGMENTS <= sum(p.stat().st_size for p in tmp_path.iterdir()) <= 9_000
    assert files.dropped_files > 0


def test_files_are_bounded_by_days(tmp_path: Path) -> None:
    files = DeadLetterFiles(tmp_path, bytes_max=1 << 20, days_max=2)
    for day in range(6):
        files.append(b"%d" % day, T0_NS + day * DAY_NS + day)
    assert list(files.read()) == [b"4", b"5"]


def test_a_torn_line_harms_itself_only(tmp_path: Path) -> None:
    files = DeadLetterFiles(tmp_path, bytes_max=1 << 20, days_max=30)
    files.append(b"one", T0_NS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"one\ntw")
    files.append(b"three", T0_NS + 5)
    assert list(files.read()) == [b"one", b"three"]


def test_choosing() -> None:
    letters = [letter(1), letter(2, feed="STX"), letter(3, reason="BAD_TAG"), letter(4, data=b"noise")]
    assert chosen(letters, Choice(feed="STX")) == [letters[1]]
    assert chosen(letters, Choice(reason="BAD_TAG")) == [letters[2]]
    assert chosen(letters, Choice(msg_type="X", since_ns=T0_NS + 2)) == [letters[1], letters[2]]
    assert chosen(letters, Choice(until_ns=T0_NS + 2)) == [letters[0]]
    assert chosen(letters, Choice(ids=(letters[3].id[:6],))) == [letters[3]]
    with pytest.raises(UnknownLetter, match="names none"):
        chosen(letters, Choice(ids=("zzz",)))
    with pytest.raises(UnknownLetter, match="names 4"):
        chosen(letters, Choice(ids=("",)))


def test_a_page_marks_the_place_and_obeys_nobody() -> None:
    text = "\n".join(page(letter()))
    assert "> " in text
    assert "[34]" in text or "[33]" in text, "the byte at offset 12 stands in brackets"
    assert "8=FIX.4.4" in text
    assert "\x1b" not in text
    assert "\x1b" not in row(letter())
    assert row(letter()).startswith(f"{letter().id} 2026-11-20T02:15:00.000000Z KRX.A X   CHECKSUM @12")


# ------------------------------------------------------------------------------------------------ put in again
class Fix:
    """The parser before a fix refuses every message that holds `mark`."""

    def __init__(self, path: DataPath, mark: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.patch = monkeypatch
        real_general = Translator.general

        def general(translator: Translator, data: bytes) -> object:
            if mark in data:
                raise Rejected("UNKNOWN_CODE", data.index(mark), "refused before the fix")
            return real_general(translator, data)

        # Without layouts every message goes the general path, which is the one that refuses.
        monkeypatch.setattr(Translator, "general", general)
        monkeypatch.setattr(Translator, "_learn", lambda *_arguments: None)

    def apply(self) -> None:
        self.patch.undo()

    def put_in(self, letters: list[DeadLetter]) -> list[dict[str, object]]:
        prepared = prepare(letters, {"KRX": feed_config()}, epochs={"KRX": EPOCH}, now_ns=T0_NS)
        assert prepared.refused == []
        before = len(self.path.records)
        for raw in prepared.messages:
            assert raw.headers["no"] == 0
            parsed = self.path.pipelines[raw.partition].feed(decode_block(raw.body)[0], "live", "KRX")
            self.path.records += parsed.records
            self.path.dead += parsed.dead
        return [json.loads(text) for text in self.path.records[before:]]


def test_a_trade_comes_as_a_new_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = DataPath()
    fix = Fix(path, b"270=98777.0", monkeypatch)
    path.on_both(trade(1), trade(2, price="98777.0"), trade(3), trade(4))
    path.parse()
    assert path.dead_reasons() == [("UNKNOWN_CODE", path.dead[0].data.index(b"270=98777.0"))]
    letters = list(letters_of([one.as_json() for one in path.dead]))
    fix.apply()
    (record,) = [r for r in fix.put_in(letters) if r["ch"] == "trade"]
    assert (record["q"], record["n"], record["p"]) == (2, 4, 98777.0), "new number behind trades 1, 3 and 4"
    assert path.counts.reinjected == 1
    assert fix.put_in(letters) == [], "a second time it is a duplicate"
    assert (path.counts.reinjected, path.counts.duplicates) == (1, 1)


def test_an_image_that_a_newer_one_replaced_stays_out_and_one_that_none_did_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = DataPath()
    fix = Fix(path, b"30521=5000", monkeypatch)
    fix_free = book(3, isin="VN000000VNM8")
    path.arrive(book(1), edited(book(2), b"\x0130521=5000\x01", b"\x0130521=6000\x01"), fix_free)
    path.parse()
    assert len(path.dead) == 2
    fix.apply()
    records = fix.put_in(path.dead)
    assert [(r["ch"], r["q"]) for r in records] == [("depth", 3)]
    assert path.counts.late_images == 1


def test_still_broken_is_refused_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    path = DataPath()
    Fix(path, b"270=98777.0", monkeypatch)
    path.arrive(trade(1), trade(2, price="98777.0"))
    path.parse()
    prepared = prepare(path.dead, {"KRX": feed_config()}, epochs={}, now_ns=T0_NS)
    assert (prepared.messages, [r.why for r in prepared.refused]) == (
        [],
        [f"the parser still refuses it: UNKNOWN_CODE at byte {path.dead[0].offset}: refused before the fix"],
    )


def test_other_days_feeds_and_replays_are_refused() -> None:
    letters = [letter(1, epoch=EPOCH - 100), letter(2, feed="GONE"), letter(3, origin="replay:4")]
    whys = [r.why for r in prepare(letters, {"KRX": feed_config()}, epochs={"KRX": EPOCH}, now_ns=T0_NS).refused]
    assert [why.split(":")[0] for why in whys] == [
        f"its epoch {EPOCH - 100} is over, the feed is at {EPOCH}",
        "feed 'GONE' is not there or disabled",
        "it came from replay",
    ]


def test_a_successor_knows_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fix comes with a restart: the identities are in the checkpoint."""
    path = DataPath()
    fix = Fix(path, b"270=98777.0", monkeypatch)
    path.arrive(trade(1), trade(2, price="98777.0"), trade(3))
    path.parse()
    fix.apply()
    for pipeline in path.pipelines:
        found = checkpoint.decode(checkpoint.encode(pipeline, "r", "o"))
        pipeline.contexts = {(c.origin, c.feed): c for c in found.contexts}
    assert [r["q"] for r in fix.put_in(path.dead) if r["ch"] == "trade"] == [2]


def test_a_letter_whose_other_copy_passed_is_a_duplicate() -> None:
    """Line A brought it damaged, line B sound."""
    path = DataPath()
    sound = trade(2)
    path.arrive(trade(1), sound[:-5] + b"99" + sound[-3:], sound, trade(3))
    path.parse()
    (dead,) = path.dead
    mended = dead._replace(data=sound)
    raw = prepare([mended], {"KRX": feed_config()}, epochs={}, now_ns=T0_NS).messages
    assert [path.pipelines[m.partition].feed(decode_block(m.body)[0], "live", "KRX").records for m in raw] == [[]]
