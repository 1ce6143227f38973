"""The two encodings of a connection: what is read from its frames and how operations are written into them."""

from __future__ import annotations

import json
from typing import Any, Protocol

from mdds_client.frames import Frame, FrameReader, Unreadable
from mdds_client.packed_frames import PackedReader, pack
from mdds_client.settings import Settings


class Frames(Protocol):
    """One encoding. A frame of the other kind is unreadable and harms nothing else."""

    def read(self, frame: str | bytes) -> Frame: ...

    def write(self, message: dict[str, Any]) -> str | bytes: ...


class JsonFrames:
    """`mdds.v1.json`: text frames."""

    def __init__(self, *, exact: bool) -> None:
        self._reader = FrameReader(exact=exact)

    def read(self, frame: str | bytes) -> Frame:
        if isinstance(frame, str):
            return self._reader.read(frame)
        return Unreadable("a binary frame on a JSON connection")

    def write(self, message: dict[str, Any]) -> str:
        return json.dumps(message, separators=(",", ":"))


class PackedFrames:
    """`mdds.v1.msgpack`: binary frames."""

    def __init__(self) -> None:
        self._reader = PackedReader()

    def read(self, frame: str | bytes) -> Frame:
        if isinstance(frame, bytes):
            return self._reader.read(frame)
        return Unreadable("a text frame on a msgpack connection")

    def write(self, message: dict[str, Any]) -> bytes:
        return pack(message)


def frames_of(settings: Settings) -> Frames:
    """Raises BadParam when the encoding's extra is not installed."""
    return PackedFrames() if settings.encoding == "msgpack" else JsonFrames(exact=settings.exact)
