"""Finds the messages in a datagram: BodyLength, CheckSum, resynchronisation.

Bytes in, spans out. A span is a whole well-framed message or a run of bytes that is none; nothing is dropped, so that
every byte of a datagram ends as a message or as a dead letter with a reason.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import adler32

BEGIN = b"8=FIX.4.4\x019="
# The header order of the feed. 49 and 56 are fixed there; 34 has at most 18 digits, so that it fits 63 bits.
HEAD = re.compile(
    rb"8=FIX\.4\.4\x019=([1-9]\d{0,4}+)\x0135=([^\x01]{1,4}+)\x0149=[^\x01]*+\x0156=[^\x01]*+\x01"
    rb"34=(\d{1,18}+)\x0152=([^\x01]*+)\x01(?:30001=([A-Z]{3})\x01)?+"
)
CHECKSUMS = tuple(b"10=%03d\x01" % value for value in range(256))
TRAILER_BYTES = 7
SUM_BYTES = 512  # bytes below 128 of which so many sum to less than adler32's modulus
BROKEN_MAX = 64  # broken spans of a datagram; what follows the 64th is one last span, so that the work stays linear


class Span(NamedTuple):
    """`data` and where it began in its datagram; `head` is None when it is no well-framed message."""

    data: bytes
    offset: int
    head: re.Match[bytes] | None


class FramingError(ValueError):
    """Why bytes are no message: `reason` is a stable code, `offset` is where it shows."""

    def __init__(self, reason: str, offset: int, text: str) -> None:
        super().__init__(f"{reason} at byte {offset}: {text}")
        self.reason = reason
        self.offset = offset
        self.text = text


def checksum(data: bytes, start: int, end: int) -> int:
    """Sum of the bytes start..end modulo 256.

    The low half of adler32 is 1 + the sum of the bytes modulo 65,521; a slice of 256 bytes sums to at most 65,280, one
    of 512 bytes below 128 to at most 65,024, so the sum is exact (measured 0.25 µs for 451 bytes, `sum()` 1.8 µs).
    """
    step = SUM_BYTES if data.isascii() else 256
    total = 0
    for at in range(start, end, step):
        total += adler32(data[at : min(at + step, end)]) - 1
    return total & 0xFF


def message_end(data: bytes, head: re.Match[bytes]) -> int:
    """The offset behind the message that `head` begins, or -1 when length, trailer or checksum is wrong."""
    start = head.start()
    body_end = head.end(1) + 1 + int(head[1])
    end = body_end + TRAILER_BYTES
    if end > len(data) or data[body_end - 1] != 1:
        return -1
    if data[body_end:end] != CHECKSUMS[checksum(data, start, body_end)]:
        return -1
    return end


def _start(size: int) -> bytes:
    """What a message of `size` bytes in all begins with: `8=FIX.4.4|9=<length>|35=`."""
    for digits in range(1, 5):
        length = size - len(BEGIN) - digits - 1 - TRAILER_BYTES
        if length > 0 and len(str(length)) == digits:
            return b"%b%d\x0135=" % (BEGIN, length)
    return b"\x01"  # no message is so short


SIZES = 8_192
_STARTS = tuple(_start(size) for size in range(SIZES))


def is_whole(data: bytes, head: re.Match[bytes]) -> bool:
    """True when `data` is exactly the message that `head` begins; the quick way for the usual datagram."""
    size = len(data)
    end = size - TRAILER_BYTES
    if size >= SIZES:
        if int(head[1]) + head.end(1) + 1 != end:
            return False
    elif not data.startswith(_STARTS[size]):
        return False
    if data[end - 1] != 1:
        return False
    if end <= 2 * SUM_BYTES and data.isascii():  # at most two slices: most messages
        total = (
            adler32(data[:end]) if end <= SUM_BYTES else adler32(data[:SUM_BYTES]) + adler32(data[SUM_BYTES:end]) - 1
        )
        return data[end:] == CHECKSUMS[(total - 1) & 0xFF]
    return data[end:] == CHECKSUMS[checksum(data, head.start(), end)]


def split(datagram: bytes) -> list[Span]:
    """All bytes of a datagram as spans, in order. Linear in its length."""
    spans: list[Span] = []
    at, size, broken = 0, len(datagram), 0
    while at < size:
        head = HEAD.match(datagram, at)
        end = message_end(datagram, head) if head is not None else -1
        if end < 0:
            head = None
            following = datagram.find(BEGIN, at + 1)
            broken += 1
            end = size if following < 0 or broken > BROKEN_MAX else following
        spans.append(Span(datagram[at:end], at, head))
        at = end
    return spans


def check_frame(data: bytes) -> None:
    """Raise FramingError saying what is wrong with the frame of `data`; return when it is one whole message."""
    first = re.match(rb"8=FIX\.4\.4\x019=([^\x01]*)(\x01|$)", data)
    if first is None:
        raise FramingError("BEGIN_STRING", 0, f"found {data[:16]!r}, expected '8=FIX.4.4' and '9='")
    length = first[1]
    if not re.fullmatch(rb"[1-9]\d{0,4}", length):
        raise FramingError("BODY_LENGTH", first.start(1), f"found {length[:20]!r}, expected 1 to 99999")
    body_start = first.end()
    if data[body_start : body_start + 3] != b"35=":
        raise FramingError("FIELD_ORDER", body_start, f"found {data[body_start : body_start + 6]!r}, expected '35='")
    body_end = body_start + int(length)
    trailer = data[body_end:]
    if body_end > len(data) or data[body_end - 1] != 1 or not trailer.startswith(b"10="):
        raise FramingError("BODY_LENGTH", first.start(1), _length_text(data, body_start, int(length)))
    expected = CHECKSUMS[checksum(data, 0, body_end)]
    if trailer == expected:
        return
    if trailer[: len(expected)] == expected:
        raise FramingError("TRAILER", body_end + len(expected), f"{len(trailer) - len(expected)} bytes follow CheckSum")
    if re.fullmatch(rb"10=\d{3}\x01.*", trailer, re.DOTALL):
        raise FramingError("CHECKSUM", body_end, f"found {trailer[3:6]!r}, expected {expected[3:6]!r}")
    raise FramingError("TRAILER", body_end, f"found {trailer[:12]!r}, expected '10=', three digits and SOH")


def _length_text(data: bytes, body_start: int, length: int) -> str:
    trailer = data.find(b"\x0110=", body_start - 1)
    if trailer < 0:
        return f"says {length}, and no CheckSum follows"
    return f"says {length}, the body has {trailer + 1 - body_start}"
