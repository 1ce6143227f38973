"""Reads AMQP frames from a buffer and hands deliveries over at once: aiormq's way in without its waits and tasks.

aiormq reads a frame in three awaited pieces, decodes every property by look-up and makes a task for each delivery:
240 µs a message of 24 KB, measured on a busy machine. `BufferedReceiver` takes its receiver's place in connections that
are opened after `install`; it decodes the three frames of a delivery and leaves all others to pamqp. `DeliveryTap`
stands before one channel's queue of frames and joins them to deliveries (docs/decisions/0009).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import aiormq.connection
import pamqp.frame
from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.common import Arguments
from pamqp.header import ContentHeader

from feeds.bus.amqp.frames import BASIC, FLAGS, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD

READ_BYTES = 1 << 18  # per read; the stream's own limit bounds what waits in memory
DELIVER, ACK = (BASIC << 16) | 60, (BASIC << 16) | 80

_FRAME = struct.Struct(">BHI")
_METHOD = struct.Struct(">I")
_TAG = struct.Struct(">QB")
_CONTENT = struct.Struct(">HHQH")
_LONG = struct.Struct(">I")
_NUMBERS = {ord("l"): struct.Struct(">q"), ord("L"): struct.Struct(">q"), ord("I"): struct.Struct(">i")}

Headers = dict[str, str | int]
Deliver = Callable[[int, Headers, bytes], None]


class BufferedReceiver(FrameReceiver):  # type: ignore[misc]
    """Frames of one connection. `get_frame` (the handshake's way) is aiormq's own."""

    _buffer = b""
    _at = 0

    async def __anext__(self) -> tuple[int, int, object]:
        while True:
            frame = self._next()
            if frame is not None:
                return frame
            data = await self.reader.read(READ_BYTES)
            if not data:
                raise AMQPConnectionError("Server connection unexpectedly closed")
            self._buffer = self._buffer[self._at :] + data
            self._at = 0

    def _next(self) -> tuple[int, int, object] | None:
        """The next whole frame of the buffer, as (bytes, channel, frame)."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 8:
            return None
        kind, channel, size = _FRAME.unpack_from(buffer, at)
        end = at + 8 + size
        if len(buffer) < end:
            return None
        self._at = end
        start = at + 7
        if buffer[end - 1 : end] == FRAME_END:
            if kind == FRAME_BODY:
                return end - at, channel, ContentBody(buffer[start : end - 1])
            frame: object | None = None
            if kind == FRAME_HEADER:
                frame = _content(buffer, start)
            elif kind == FRAME_METHOD:
                frame = _method(buffer, start)
            if frame is not None:
                return end - at, channel, frame
        found: tuple[int, int, object] = pamqp.frame.unmarshal(buffer[at:end])
        return found


def _method(buffer: bytes, at: int) -> object | None:
    """A delivery or a confirmation; None for every other method."""
    kind = _METHOD.unpack_from(buffer, at)[0]
    if kind == ACK:
        tag, multiple = _TAG.unpack_from(buffer, at + 4)
        return Basic.Ack(tag, bool(multiple & 1))
    if kind != DELIVER:
        return None
    consumer, at = _short(buffer, at + 4)
    tag, redelivered = _TAG.unpack_from(buffer, at)
    exchange, at = _short(buffer, at + 9)
    return Basic.Deliver(consumer, tag, bool(redelivered & 1), exchange, _short(buffer, at)[0])


def _content(buffer: bytes, at: int) -> ContentHeader | None:
    """A content header as our publishers send it; None for one with other properties or kinds of values."""
    _class, _weight, size, flags = _CONTENT.unpack_from(buffer, at)
    if flags != FLAGS:
        return None
    at += _CONTENT.size
    end = at + 4 + _LONG.unpack_from(buffer, at)[0]
    headers = _table(buffer, at + 4, end)
    if headers is None:
        return None
    message_id, _ = _short(buffer, end + 1)
    return ContentHeader(0, size, Basic.Properties(headers=headers, delivery_mode=buffer[end], message_id=message_id))


def _table(buffer: bytes, at: int, end: int) -> Headers | None:
    headers: Headers = {}
    while at < end:
        name, at = _short(buffer, at)
        kind = buffer[at]
        number = _NUMBERS.get(kind)
        if number is not None:
            headers[name] = number.unpack_from(buffer, at + 1)[0]
            at += 1 + number.size
        elif kind == ord("S"):
            size = _LONG.unpack_from(buffer, at + 1)[0]
            at += 5
            headers[name] = buffer[at : at + size].decode()
            at += size
        else:
            return None
    return headers


def _short(buffer: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + buffer[at]
    return buffer[at + 1 : end].decode(), end


class DeliveryTap:
    """Takes a channel's deliveries out of its frames; everything else goes on to the channel's own queue."""

    def __init__(self, frames: object, deliver: Deliver) -> None:
        self._frames = frames
        self._deliver = deliver
        self._tag = 0
        self._header: ContentHeader | None = None
        self._open = False  # between a Deliver and the end of its body
        self._parts: list[bytes] = []
        self._missing = 0

    async def put(self, item: tuple[int, object]) -> None:
        frame = item[1]
        if isinstance(frame, Basic.Deliver):
            self._tag, self._open, self._header = frame.delivery_tag or 0, True, None
        elif not self._open:
            await self._frames.put(item)  # type: ignore[attr-defined]
        elif isinstance(frame, ContentHeader):
            self._header, self._parts, self._missing = frame, [], frame.body_size
            self._take(b"")
        elif isinstance(frame, ContentBody):
            self._take(frame.value or b"")
        else:  # a method between the frames of a delivery is for the channel
            await self._frames.put(item)  # type: ignore[attr-defined]

    def _take(self, part: bytes) -> None:
        self._parts.append(part)
        self._missing -= len(part)
        if self._missing <= 0 and self._header is not None:
            self._open = False
            body = part if len(self._parts) == 2 else b"".join(self._parts)
            self._deliver(self._tag, self._header.properties.headers or {}, body)

    def __getattr__(self, name: str) -> object:
        """Whatever else the channel asks of its queue."""
        return getattr(self._frames, name)


async def consume_tapped(
    channel: AbstractChannel, queue: str, deliver: Deliver, *, arguments: Arguments | None = None
) -> None:
    """Consume a queue whose deliveries go to `deliver(tag, headers, body)` as they are read."""
    wire = await channel.get_underlay_channel()
    wire.frames = DeliveryTap(wire.frames, deliver)  # type: ignore[assignment]
    await wire.basic_consume(queue, _never, no_ack=False, arguments=arguments)


async def _never(message: DeliveredMessage) -> None:
    """The tap takes the deliveries before the channel could hand them to its consumer."""
    raise AssertionError(f"delivery {message.delivery_tag} passed the tap")


def install() -> None:
    """Connections opened from now on read with `BufferedReceiver`."""
    aiormq.connection.FrameReceiver = BufferedReceiver
