"""Shows a dead letter to people: one line of a list, or its fields and bytes with the broken place marked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from feeds.dead_letters.choice import type_of
from feeds.parser.dead_letter import DeadLetter

ROW_BYTES = 16


def received_at(letter: DeadLetter) -> str:
    """The receive time in UTC with microseconds."""
    moment = datetime.fromtimestamp(letter.rx_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{letter.rx_ns % 1_000_000_000 // 1_000:06d}Z"


def row(letter: DeadLetter) -> str:
    """One line: id, time, feed, line, type, reason, offset, size, text. Control characters never reach a terminal."""
    line = "AB"[letter.line] if letter.line in (0, 1) else "?"
    where = f"{letter.feed}.{line} {type_of(letter.data) or '-':3} {letter.reason} @{letter.offset}"
    return printable(f"{letter.id} {received_at(letter)} {where} {len(letter.data)} bytes: {letter.text}")


def page(letter: DeadLetter) -> list[str]:
    """Everything that is known of one letter."""
    lines = [
        f"dead letter {letter.id}",
        f"received    {received_at(letter)} on line {'AB'[letter.line] if letter.line in (0, 1) else letter.line}",
        f"feed        {letter.feed}, epoch {letter.epoch}, origin {letter.origin}",
        f"block       from capture_seq {letter.capture_seq}, partition {letter.partition}",
        f"reason      {letter.reason} at byte {letter.offset}: {letter.text}",
        "",
        "fields (> marks the broken place)",
        *_fields(letter),
        "",
        f"bytes ({len(letter.data)}; [ ] marks byte {letter.offset})",
        *_dump(letter.data, letter.offset),
    ]
    return [printable(line) for line in lines]


def printable(text: str) -> str:
    """`text` without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "." for c in text)


def _fields(letter: DeadLetter) -> Iterator[str]:
    at = 0
    for part in letter.data.split(b"\x01"):
        end = at + len(part) + 1
        if part or at < len(letter.data):
            mark = ">" if at <= letter.offset < end else " "
            yield f"{mark} {at:5}  {part.decode('utf-8', 'replace')}"
        at = end
    if letter.offset >= len(letter.data):
        yield f"> {letter.offset:5}  (the end)"


def _dump(data: bytes, offset: int) -> Iterator[str]:
    for at in range(0, len(data), ROW_BYTES):
        part = data[at : at + ROW_BYTES]
        cells = "".join(f"[{byte:02x}]" if at + i == offset else f" {byte:02x} " for i, byte in enumerate(part))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:06x} {cells:{4 * ROW_BYTES}}  {text}"
