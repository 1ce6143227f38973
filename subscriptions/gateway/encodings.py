"""How a session's messages are written: JSON in text frames, or the same values as msgpack in binary frames.

A record is packed once for everybody who wants it packed; its JSON line stays with it, so that whoever has to look into
a queue reads one kind of head.
"""

from __future__ import annotations

import json
import struct
from binascii import a2b_base64
from collections.abc import Sequence
from decimal import Decimal
from typing import NoReturn

import msgpack  # type: ignore[import-untyped]

INTEGERS = range(-(2**63), 2**64)  # what msgpack can hold; a larger one becomes a text


class Packed(bytes):
    """A record in msgpack, with the JSON line it was made from."""

    line: bytes


def pack(line: bytes, *, binary: str | None = None) -> Packed:
    """One record line as msgpack; the base64 text of the member `binary` as the bytes it stands for."""
    value = json.loads(line, parse_int=_integer)
    if binary is not None:
        value[binary] = a2b_base64(value[binary])
    packed = Packed(msgpack.packb(value))
    packed.line = line
    return packed


def line_of(record: bytes) -> bytes:
    """The JSON line of a queued record, however it is encoded."""
    return record.line if type(record) is Packed else record


def _packed(text: bytes) -> bytes:
    value = json.loads(text, parse_int=_integer)
    packed: bytes = msgpack.packb(value)
    return packed


def _integer(text: str) -> int | str:
    value = int(text) if len(text) <= 20 else Decimal(text)
    return int(value) if len(text) <= 20 and int(value) in INTEGERS else text


class JsonFrames:
    """Frames of `mdds.v1.json`."""

    binary = False

    @staticmethod
    def records(items: Sequence[bytes]) -> bytes:
        return b"[%b]" % b",".join(items)

    @staticmethod
    def control(message: bytes) -> bytes:
        return message


class PackedFrames:
    """Frames of `mdds.v1.msgpack`: an array of records, or a map."""

    binary = True

    @staticmethod
    def records(items: Sequence[bytes]) -> bytes:
        count = len(items)
        if count < 16:
            head = struct.pack("!B", 0x90 | count)
        elif count < 65_536:
            head = struct.pack("!BH", 0xDC, count)
        else:
            head = struct.pack("!BI", 0xDD, count)
        return b"".join((head, *items))

    @staticmethod
    def control(message: bytes) -> bytes:
        return _packed(message)


Frames = type[JsonFrames] | type[PackedFrames]


def unpack(data: bytes) -> object:
    """The value in one inbound binary frame. Raises ValueError; nothing is allocated from a length that lies."""
    try:
        return msgpack.unpackb(data, object_pairs_hook=_unique, strict_map_key=True, ext_hook=_no_extensions)
    except (msgpack.UnpackException, ValueError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _unique(pairs: list[tuple[object, object]]) -> dict[object, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_extensions(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}: not used in this protocol")
