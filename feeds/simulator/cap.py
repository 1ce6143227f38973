"""Reads the lines of a `.cap` recording: `<rx_ns> <line> <FIX bytes>`, one datagram a line.

The FIX bytes may contain spaces (SendingTime does), so a line is split at its first two only.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

DATAGRAM_BYTES_MAX = 65_507
_SHOWN_BYTES_MAX = 60
_TRAILER = re.compile(rb"\x0110=\d{3}\x01\Z")


class CapDatagram(NamedTuple):
    rx_ns: int
    line: str
    """`A` or `B`."""
    data: bytes


class BadCapLine(ValueError):
    """A line of the recording is not what the format says; `number` counts from 1."""

    def __init__(self, number: int, expected: str, found: bytes) -> None:
        self.number = number
        shown = repr(found[:_SHOWN_BYTES_MAX]) + (f"... ({len(found)} bytes)" if len(found) > _SHOWN_BYTES_MAX else "")
        super().__init__(f"line {number}: expected {expected}, found {shown}")


def parse_cap_line(number: int, text: bytes) -> CapDatagram:
    """One line, with or without its newline. Looks at the datagram's two ends, not at its checksum: a recording may
    well hold a message that was damaged on the wire."""
    parts = text.removesuffix(b"\n").split(b" ", 2)
    if len(parts) != 3:
        raise BadCapLine(number, "<rx_ns> <line> <FIX bytes> separated by spaces", text.rstrip(b"\n"))
    rx_ns, line, data = parts
    if not rx_ns.isdigit():
        raise BadCapLine(number, "a receive time in ns as decimal digits", rx_ns)
    if line not in (b"A", b"B"):
        raise BadCapLine(number, "line A or B", line)
    if not data.startswith(b"8=FIX"):
        raise BadCapLine(number, "FIX bytes starting with 8=FIX", data)
    if not _TRAILER.search(data):
        raise BadCapLine(number, "FIX bytes ending with 10=nnn and SOH", data[-_SHOWN_BYTES_MAX:])
    if len(data) > DATAGRAM_BYTES_MAX:
        raise BadCapLine(number, f"a datagram of at most {DATAGRAM_BYTES_MAX} bytes", data)
    return CapDatagram(int(rx_ns), line.decode(), data)


def parse_cap(lines: Iterable[bytes]) -> Iterator[CapDatagram]:
    """The datagrams of an open recording, in the order of the file."""
    for number, text in enumerate(lines, start=1):
        yield parse_cap_line(number, text)
