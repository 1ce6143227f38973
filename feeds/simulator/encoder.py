"""Turns the values of one message layout into FIX bytes.

simplefix encodes a layout once, with markers where the values go; from then on a message is `template % values` with
BodyLength and CheckSum put around it. `Layout.reference` encodes the same values with simplefix alone: the tests hold
the two byte-equal. Measured on a 700-byte book: simplefix 120 µs, the template 1.5 µs.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias
from zlib import adler32

import simplefix

SOH = "\x01"
SENDER = "VNMGW"
TARGET = "99999"
VALUE = None
"""In a layout's fields: the value is given with each message."""

Field: TypeAlias = tuple[int, str | None]

_MARKER = "\x02"
_TRAILERS = tuple(b"10=%03d\x01" % value for value in range(256))
_SUM_SLICE_BYTES = 512
"""adler32 keeps the plain sum of the bytes in its low half below 65,521: 512 ASCII bytes sum to 65,024 at most."""


def checksum(data: bytes) -> int:
    """The FIX CheckSum of ASCII bytes: their sum modulo 256."""
    length = len(data)
    if length <= _SUM_SLICE_BYTES:
        return (adler32(data) - 1) & 0xFF
    if length <= 3 * _SUM_SLICE_BYTES:
        two = 2 * _SUM_SLICE_BYTES
        sums = adler32(data[:_SUM_SLICE_BYTES]) + adler32(data[_SUM_SLICE_BYTES:two]) + adler32(data[two:])
        return (sums - 3) & 0xFF
    return checksum(data[: 3 * _SUM_SLICE_BYTES]) + checksum(data[3 * _SUM_SLICE_BYTES :]) & 0xFF


class Layout:
    """One message type with a fixed order of tags.

    `fields` are the body's (tag, constant) pairs; a constant of None is a value given with each message. A `fragment`
    is a run of fields that occurs repeatedly and is rendered once by `layout.fragment % values`; `encode` takes the
    ready texts (a book level seldom changes between two books that contain it). Nothing but constants may stand
    between the first fragment and the end.
    """

    def __init__(self, msg_type: str, fields: Sequence[Field], *, fragment: Sequence[Field] = ()) -> None:
        self.msg_type = msg_type
        self.fragment = "".join(f"{tag}={'%s' if value is None else value}{SOH}" for tag, value in fragment)
        text = _simplefix_template(msg_type, fields)
        pieces = text.split(self.fragment) if self.fragment else [text]
        self._template = pieces[0]
        self.values_count = pieces[0].count("%s") - 2
        self.fragments_count = len(pieces) - 1
        # fragments go to the even places, the constants after each stand at the odd ones
        self._tail = [piece for constant in pieces[1:] for piece in ("", constant)]

    def encode(
        self, sequence: int, sending_time: str, values: tuple[object, ...], *, fragments: Sequence[str] = ()
    ) -> bytes:
        """The message, complete with header and trailer; values in the order of the layout's open fields."""
        body = self._template % (sequence, sending_time, *values)
        if fragments:
            tail = self._tail.copy()
            tail[0::2] = fragments
            body += "".join(tail)
        data = f"8=FIX.4.4\x019={len(body)}\x01{body}".encode("ascii")
        return data + _TRAILERS[checksum(data)]

    def reference(
        self, sequence: int, sending_time: str, values: tuple[object, ...], *, fragments: Sequence[str] = ()
    ) -> bytes:
        """The same message as simplefix encodes it, field by field: slow, and the measure of `encode`."""
        text = self._template % (sequence, sending_time, *values)
        for place, piece in enumerate(self._tail):
            text += piece if place % 2 else fragments[place // 2]
        message = simplefix.FixMessage()
        message.append_pair(8, "FIX.4.4")
        for pair in text.rstrip(SOH).split(SOH):
            tag, _, value = pair.partition("=")
            message.append_pair(tag, value)
        encoded: bytes = message.encode()
        return encoded


def _simplefix_template(msg_type: str, fields: Sequence[Field]) -> str:
    """simplefix's encoding of the layout without BeginString, BodyLength and CheckSum, with %s for every open value."""
    message = simplefix.FixMessage()
    message.append_pair(8, "FIX.4.4")
    message.append_pair(35, msg_type)
    message.append_pair(49, SENDER)
    message.append_pair(56, TARGET)
    for tag, value in ((34, VALUE), (52, VALUE), *fields):
        message.append_pair(tag, _MARKER if value is None else value)
    text = message.encode().decode("ascii")
    body = re.sub(r"^8=[^\x01]*\x019=[^\x01]*\x01|10=\d{3}\x01$", "", text)
    return body.replace("%", "%%").replace(_MARKER, "%s")
