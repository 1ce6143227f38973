"""The truth log gives back what was written, and the gaps that follow from it."""

from io import BytesIO
from pathlib import Path

import pytest

from feeds.simulator.faults import CORRUPTED, DUPLICATED, LOST, LOST_ON_BOTH, NO_LINE, SENT
from feeds.simulator.message import Message
from feeds.simulator.truth import BadTruth, TruthReader, TruthWriter, digest_of
from feeds.simulator.truth_gaps import MissingRange, missing_ranges

RUN = {"seed": 7, "feeds": {"STO": ["STO"]}}


def written(path: Path, messages: list[Message], fates: list[tuple[int, int]], *, keep_bytes: bool = True) -> None:
    with path.open("wb") as file:
        truth = TruthWriter(file, run=RUN, keep_bytes=keep_bytes)
        for number, (message, fate) in enumerate(zip(messages, fates, strict=True), start=1):
            truth.write(message, datagram=number, at_ns=number * 1000, fates=fate)
        truth.flush()


def numbered(*sequences: int, msg_type: str = "X", stream: str = "market") -> list[Message]:
    return [Message("STO", "STO", stream, one, msg_type, "VN000000FPT1", b"message %d" % one) for one in sequences]


@pytest.mark.parametrize("keep_bytes", [True, False])
def test_a_day_comes_back_as_it_was_written(tmp_path: Path, trading_day: list[Message], keep_bytes: bool) -> None:
    path = tmp_path / "day.truth"
    fates = [(place % 9, NO_LINE if place % 5 == 0 else SENT) for place in range(len(trading_day))]
    written(path, trading_day, fates, keep_bytes=keep_bytes)
    reader = TruthReader(path)
    read = list(reader)
    assert reader.run == RUN
    assert [Message(*one[2:5], one.sequence, one.msg_type, one.isin, b"") for one in read] == [
        message._replace(data=b"") for message in trading_day
    ]
    assert [one.fates for one in read] == fates
    assert [one.digest for one in read] == [digest_of(message.data) for message in trading_day]
    assert [one.data for one in read] == [message.data if keep_bytes else None for message in trading_day]
    assert (read[4].datagram, read[4].at_ns) == (5, 5000)


def test_a_torn_last_record_ends_the_log(tmp_path: Path) -> None:
    path = tmp_path / "torn.truth"
    written(path, numbered(1, 2, 3), [(SENT, SENT)] * 3)
    whole = path.read_bytes()
    counts = set()
    for cut in range(1, 60):
        path.write_bytes(whole[:-cut])
        counts.add(len(list(TruthReader(path))))
    assert counts == {1, 2}


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"something else\n")
    with pytest.raises(BadTruth, match=r"other: a truth log starts with b'mdds truth 1\\n', found b'something els'"):
        TruthReader(path)


def test_the_names_are_bounded() -> None:
    truth = TruthWriter(BytesIO(), run={})
    with pytest.raises(BadTruth, match="at most 256 names"):
        for number in range(300):
            message = Message("STO", "STO", f"stream {number}", 1, "X", "", b"")
            truth.write(message, datagram=1, at_ns=1, fates=(SENT, SENT))


def test_missing_is_what_no_line_delivered_undamaged(tmp_path: Path) -> None:
    path = tmp_path / "gaps.truth"
    both = LOST | LOST_ON_BOTH
    messages = [*numbered(1, 2, 3, 4, 5, 6, 7), *numbered(1, 2, msg_type="M1", stream="M1"), *numbered(8)]
    fates = [
        (SENT, SENT), (LOST, SENT), (both, both), (LOST, CORRUPTED), (DUPLICATED, LOST), (LOST, NO_LINE), (SENT, SENT),
        (both, both), (SENT, SENT), (both, both),
    ]  # fmt: skip
    written(path, messages, fates)
    assert missing_ranges(TruthReader(path)) == [
        MissingRange("STO", "STO", "market", 3, 4),
        MissingRange("STO", "STO", "market", 6, 6),
        MissingRange("STO", "STO", "M1", 1, 1),
        MissingRange("STO", "STO", "market", 8, 8),
    ]
