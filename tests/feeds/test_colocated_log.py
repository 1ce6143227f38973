"""The RAW log of a co-located publisher: whole messages in order, whatever a kill or a full disk did to the end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from feeds.capture.raw_log import RawLog
from feeds.capture.raw_stage import RawMessage
from tests.feeds.data_path import DataPath
from tests.feeds.wire import trade


def released(count: int) -> list[RawMessage]:
    """`count` RAW messages of one trade each."""
    path = DataPath(partitions=1)
    for n in range(1, count + 1):
        path.arrive(trade(n))
        path.parse()
    return path.raw


RAW = released(6)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("publisher.raw.*"))


def test_what_a_checkpoint_has_goes(tmp_path: Path) -> None:
    log = RawLog(tmp_path)
    log.append(RAW[:2])
    log.append(RAW[2:3])
    cut = log.cut()
    log.append(RAW[3:])
    assert list(RawLog(tmp_path).read()) == RAW
    log.release(cut)
    assert list(RawLog(tmp_path).read()) == RAW[3:]
    assert log.cut() == log.cut(), "nothing was written in between"
    log.release(log.cut())
    assert segments(tmp_path) == []


def test_a_successor_writes_behind_its_predecessor(tmp_path: Path) -> None:
    RawLog(tmp_path).append(RAW[:2])
    second = RawLog(tmp_path)
    second.append(RAW[2:])
    assert list(second.read()) == RAW


@pytest.mark.parametrize("lost", [1, 40, 1_000])
def test_torn_by_a_kill(tmp_path: Path, lost: int) -> None:
    log = RawLog(tmp_path)
    log.append(RAW)
    (path,) = segments(tmp_path)
    size = path.stat().st_size
    os.truncate(path, size - lost)
    kept = list(RawLog(tmp_path).read())
    assert kept == RAW[: len(kept)]
    whole = size // len(RAW)  # all are about as long
    assert len(kept) == (size - lost) // whole or len(kept) == (size - lost) // whole - 1
    assert len(kept) < len(RAW)


def test_a_full_disk_leaves_no_half_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RawLog(tmp_path)
    log.append(RAW[:2])
    real = os.pwrite

    def half(file: int, data: bytes, at: int) -> int:
        real(file, data[: len(data) // 2], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("feeds.capture.raw_log.os.pwrite", half)
    with pytest.raises(OSError, match="No space"):
        log.append(RAW[2:4])
    monkeypatch.setattr("feeds.capture.raw_log.os.pwrite", real)
    assert list(RawLog(tmp_path).read()) == RAW[:2]
    log.append(RAW[2:4])
    assert list(RawLog(tmp_path).read()) == RAW[:4]
