"""A disk that refuses: the block is not written, nothing of it is left, the next attempt goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from feeds.journal import JournalWriteError, JournalWriter
from feeds.journal import writer as writer_module
from tests.feeds.journals import entries, entries_of, segments
from tests.feeds.test_journal_damage import BLOCK_BYTES

Write = Callable[[int, memoryview], int]


class Disk:
    """os.write that fails at call `n`; `short` writes one byte at a time instead."""

    def __init__(self, n: int, *, error: int = 0, short: bool = False, zero: bool = False) -> None:
        self.n, self.error, self.short, self.zero = n, error, short, zero
        self.calls = 0
        self._write: Write = os.write

    def write(self, fd: int, data: memoryview) -> int:
        self.calls += 1
        if self.short:
            if self.calls == self.n:
                raise OSError(self.error, os.strerror(self.error))
            return self._write(fd, data[:7])
        if self.calls == self.n and self.zero:
            return 0
        if self.calls == self.n:
            raise OSError(self.error, os.strerror(self.error))
        return self._write(fd, data)


def run(folder: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Append ten blocks, each tried until it is taken; returns the errors met."""
    writer = JournalWriter(folder, 7, segment_bytes=300)
    met: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(writer_module.os, "write", disk.write)
        for n in range(10):
            while True:
                try:
                    writer.append(entries(3 * n + 1, 3))
                    break
                except JournalWriteError as error:
                    met.append(errno.errorcode[error.errno or 0])
                    assert entries_of(folder) == entries(1, 3 * n)
                    assert segments(folder)[-1].stat().st_size % BLOCK_BYTES == 0, "half a block is left"
    writer.close()
    return met


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("n", range(1, 11))
def test_an_error_at_call_n(tmp_path: Path, error: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, Disk(n, error=error), monkeypatch) == [errno.errorcode[error]]
    assert entries_of(tmp_path) == entries(1, 30)


@pytest.mark.parametrize("n", [2, 5, 20, 21, 22, 23, 50, 200])
def test_short_writes_and_an_error_among_them(tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, Disk(n, error=errno.ENOSPC, short=True), monkeypatch) == ["ENOSPC"]
    assert entries_of(tmp_path) == entries(1, 30)


def test_a_write_of_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, Disk(4, zero=True), monkeypatch) == ["EIO"]
    assert entries_of(tmp_path) == entries(1, 30)


def test_a_disk_that_refuses_a_new_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path, 7, segment_bytes=100)
    writer.append(entries(1, 3))

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writer_module.os, "open", refuse)
        with pytest.raises(JournalWriteError, match="No space left"):
            writer.append(entries(4, 3))
    writer.append(entries(4, 3))
    writer.close()
    assert entries_of(tmp_path) == entries(1, 6)


FULL_DISK = """
import sys
from pathlib import Path
from feeds.journal import JournalWriteError, JournalWriter
from tests.feeds.journals import entries, entries_of
folder = Path(sys.argv[1])
ballast = folder / "ballast"
ballast.write_bytes(b"x" * 300_000)
writer = JournalWriter(folder / "journal", 7, segment_bytes=100_000)
refused, n, first_refused = 0, 0, None
while n < 80:
    try:
        writer.append(entries(100 * n + 1, 100, size=200))
        n += 1
    except JournalWriteError as error:
        refused += 1
        first_refused = first_refused or (n, error.errno)
        assert entries_of(folder / "journal") == entries(1, 100 * n, size=200), "nothing of the refused block is left"
        ballast.unlink(missing_ok=refused > 1)
        if refused > 5:
            break
writer.close()
print(refused, first_refused, n, entries_of(folder / "journal") == entries(1, 100 * n, size=200))
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root for a tmpfs of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    """A real tmpfs of 1 MiB: ENOSPC in the middle, whole again when room was made, full at last."""
    script = tmp_path / "fill.py"
    script.write_text(FULL_DISK)
    root = Path(__file__).resolve().parents[2]
    mount = tmp_path / "small"
    mount.mkdir()
    command = f'mount -t tmpfs -o size=1m tmpfs "{mount}" && exec "{sys.executable}" "{script}" "{mount}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    refused, rest = done.stdout.split(" ", 1)
    assert int(refused) >= 2, done.stdout
    assert rest.strip().endswith("True")
    assert f"{errno.ENOSPC})" in rest
