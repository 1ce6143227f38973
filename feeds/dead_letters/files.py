"""Keeps dead letters in append files, bounded by size and days, where there is no broker to keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SEGMENTS = 8  # files of an eighth of the bound each
_NAME = re.compile(r"\d{19}\.jsonl")
_DAY_NS = 86_400 * 1_000_000_000


class DeadLetterFiles:
    """One JSON object a line in files named by the time (ns) they were begun at. One process appends, any may read."""

    def __init__(self, folder: Path, *, bytes_max: int, days_max: int) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        self.days_max = days_max
        self.dropped_files = 0

    def append(self, text: bytes, now_ns: int) -> None:
        """Keep one letter. At the bound of size or days the oldest file goes, and is counted."""
        names = self._names()
        if not names or self._full(names[-1], now_ns):
            self.folder.mkdir(parents=True, exist_ok=True)
            names.append(f"{now_ns:019d}.jsonl")
            self._drop_old(names, now_ns)
        with (self.folder / names[-1]).open("ab") as file:
            file.write(text + b"\n")

    def read(self) -> Iterator[bytes]:
        """All that are kept, oldest first; a half line at the end (being written, or torn) is left out."""
        for name in self._names():
            try:
                content = (self.folder / name).read_bytes()
            except FileNotFoundError:  # dropped meanwhile
                continue
            yield from content.split(b"\n")[:-1]

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def _full(self, name: str, now_ns: int) -> bool:
        path = self.folder / name
        if path.stat().st_size >= self.bytes_max // SEGMENTS or now_ns - int(name[:19]) > _DAY_NS:
            return True
        with path.open("rb") as file:  # a torn line of a killed process: what is appended to it would be lost too
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            return file.read(1) not in (b"", b"\n")

    def _drop_old(self, names: list[str], now_ns: int) -> None:
        oldest_ns = now_ns - self.days_max * _DAY_NS
        gone = [name for name in names[:-1] if int(name[:19]) < oldest_ns]
        gone += [name for name in names[:-SEGMENTS] if name not in gone]
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
            self.dropped_files += 1
