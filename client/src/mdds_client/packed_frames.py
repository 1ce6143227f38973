"""One msgpack frame in, a control message or typed records out, each record with its own bytes."""

from __future__ import annotations

import importlib
from typing import Any

from mdds_client.errors import BadParam
from mdds_client.frames import Control, Data, Frame, Unreadable, is_record
from mdds_client.records import RECORD_OF_CHANNEL, Record

try:
    msgpack: Any = importlib.import_module("msgpack")
except ImportError:  # the extra is not installed
    msgpack = None


class PackedReader:
    """Reads the binary frames of `mdds.v1.msgpack`: an array is records, a map is control."""

    def __init__(self) -> None:
        if msgpack is None:
            raise BadParam('encoding: msgpack needs its extra: pip install "mdds-client[msgpack]"')

    def read(self, data: bytes) -> Frame:
        try:
            unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=max(len(data), 1))
            unpacker.feed(data)
            if data[:1] and (data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)):
                return _records(unpacker, data)
            members = unpacker.unpack()
        except (ValueError, RecursionError, msgpack.UnpackException) as error:
            return Unreadable(f"{type(error).__name__}: {error}")
        if isinstance(members, dict) and isinstance(members.get("t"), str):
            return Control(members)
        return Unreadable("neither an array of records nor a map with a type `t`")


def pack(value: Any) -> bytes:
    """A message as one binary frame."""
    packed: bytes = msgpack.packb(value)
    return packed


def unpack(frame: bytes) -> Any:
    """The value of one binary frame; raises ValueError."""
    return msgpack.unpackb(frame)


def _records(unpacker: Any, data: bytes) -> Data:
    count = unpacker.read_array_header()
    records: list[Record] = []
    bad = 0
    end = unpacker.tell()
    for _ in range(count):
        start = end
        members = unpacker.unpack()
        end = unpacker.tell()
        if is_record(members):
            records.append(RECORD_OF_CHANNEL.get(members["ch"], Record)(members, data[start:end]))
        else:
            bad += 1
    return Data(records, bad)
