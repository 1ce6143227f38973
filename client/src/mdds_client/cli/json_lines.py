"""Writes records to stdout, one a line, each byte for byte as the server sent it."""

from __future__ import annotations

import os
import sys

from mdds_client.records import Record


class JsonLines:
    """One write per batch: a pipe sees whole lines, as soon as they are there."""

    def __init__(self) -> None:
        self._out = sys.stdout.buffer

    def take(self, records: list[Record]) -> None:
        """One write; raises BrokenPipeError when the reader of the pipe is gone."""
        lines = b"".join(_line(record.text) for record in records)
        self._out.write(lines)
        self._out.flush()

    @staticmethod
    def abandon() -> None:
        """After a broken pipe: nothing may be flushed into it at exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(text: str) -> bytes:
    """A record with line ends between its members (legal JSON) is put on one line; strings cannot hold raw ones."""
    if "\n" in text or "\r" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    return text.encode() + b"\n"
