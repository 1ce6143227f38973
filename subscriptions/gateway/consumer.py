"""The Channels consumer of `/stream/v1`: ASGI events to session calls, and nothing decided here."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer

from subscriptions import protocol
from subscriptions.close_codes import CLOSE_OF_ERROR, CloseCode
from subscriptions.entitlements import Grant
from subscriptions.gateway import replies
from subscriptions.gateway.admission import NOWHERE
from subscriptions.gateway.asgi_sink import AsgiSink
from subscriptions.gateway.edges import Keys
from subscriptions.gateway.encodings import JsonFrames, PackedFrames
from subscriptions.gateway.handshake import Offer, address_of, read_offer
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.layer import Seat, Sink, StreamLayer
from subscriptions.gateway.replays import ReplayDesk
from subscriptions.gateway.session_counts import Elsewhere
from subscriptions.gateway.wire import EXTENSION, GatewayProtocol, WireSink
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

FILL_WAIT_S = 5.0  # a session, for the history of a gateway that has just started; then a sub goes on without


class StreamConsumer(AsyncConsumer):  # type: ignore[misc]
    replays: ClassVar[ReplayDesk | None] = None  # the running worker's
    keys: ClassVar[Keys | None] = None  # the running worker's; without a worker nobody gets in

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.seat: Seat | None = None
        self.writer: asyncio.Task[None] | None = None
        self.entered = False
        self.filled_by_s: float | None = None  # until when its subs wait for the history: once, not each anew
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.writer is not None:
                self.writer.cancel()
                await asyncio.gather(self.writer, return_exceptions=True)
            self.layer.close_seat(self.channel_name)
            if self.entered:
                self.layer.admission.leave(address_of(self.scope))

    @property
    def layer(self) -> StreamLayer:
        return self.channel_layer

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Channels' own goes through a thread to tidy database connections, at every message; we hold none."""
        await getattr(self, get_handler_name(message))(message)

    # ASGI events

    async def websocket_connect(self, event: dict[str, Any]) -> None:
        offer = read_offer(self.scope, origins=self.layer.settings.origins)
        if offer.refusal is not None:
            await self._refuse_handshake(*offer.refusal)
            raise StopConsumer
        grant: Grant | None = None
        elsewhere = NOWHERE
        error = offer.error
        if error is None:
            try:
                grant = await self._first_grant(offer)
                elsewhere = await self.layer.admission.elsewhere(grant, takeover=offer.takeover)
            except ProtocolError as refused:
                error = refused
        await self.send({"type": "websocket.accept", "subprotocol": offer.subprotocol})
        seat = self._take_seat(offer)
        if error is None and grant is not None:
            try:
                self._open(seat, grant, takeover=offer.takeover, elsewhere=elsewhere)
            except ProtocolError as refused:
                error = refused
        if error is not None:
            self._refuse(seat, error)
            error = None  # its traceback holds this frame, which holds it
        self.layer.flush_seat(seat)

    async def websocket_receive(self, event: dict[str, Any]) -> None:
        seat = self.seat
        if seat is None or seat.cut:
            return
        try:
            verdict = seat.session.spend()
            if verdict.delay_ms:
                await asyncio.sleep(verdict.delay_ms / 1000)
            if verdict.close:
                return self.layer.cut(seat, CloseCode.RATE, "RATE_LIMIT")
            await self._serve(seat, event, retry_after_ms=verdict.retry_after_ms)
        except ProtocolError as error:
            self._refuse(seat, error)
        except Exception:
            log.exception("session %s", seat.session.name)
            self._refuse(seat, ProtocolError("INTERNAL", "the server failed on this message", fatal=True))
        if not seat.cut:
            self.layer.flush_seat(seat)

    async def websocket_disconnect(self, event: dict[str, Any]) -> None:
        raise StopConsumer

    # Layer messages

    async def gateway_close(self, event: dict[str, Any]) -> None:
        """`{"type": "gateway.close", "close": 4403, "code": "NOT_ENTITLED"}` sent to the session's channel."""
        if self.seat is not None:
            self.layer.cut(self.seat, CloseCode(event["close"]), event["code"])

    # Parts

    async def _first_grant(self, offer: Offer) -> Grant:
        self.layer.admission.enter(offer.address)
        self.entered = True
        if offer.secret is None:
            return await self._ask_keys().anonymous()
        return await self._login(offer.secret, offer.address)

    def _ask_keys(self) -> Keys:
        if self.keys is None:
            raise ProtocolError("SHUTDOWN", "this gateway is not running: come back in a moment", fatal=True)
        return self.keys

    async def _login(self, secret: str, address: str | None) -> Grant:
        return await self.layer.admission.login(self._ask_keys(), secret, address)

    def _take_seat(self, offer: Offer) -> Seat:
        extensions = self.scope.get("extensions") or {}
        door = extensions.pop(EXTENSION, None)  # which holds the scope
        frames = PackedFrames if offer.subprotocol == protocol.SUBPROTOCOL_MSGPACK else JsonFrames
        sink: Sink
        if isinstance(door, GatewayProtocol):
            sink = WireSink(door, self._flush, binary=frames.binary)
        else:
            sink = AsgiSink(self.send, self._flush, binary=frames.binary)
            self.writer = asyncio.create_task(sink.run(), name=f"writer {self.channel_name}")
        self.seat = self.layer.open_seat(self.channel_name, sink, frames=frames)
        self.seat.session.address = offer.address or ""
        return self.seat

    def _flush(self) -> None:
        if self.seat is not None:
            self.layer.flush_seat(self.seat)

    def _open(
        self, seat: Seat, grant: Grant, *, takeover: bool, elsewhere: Elsewhere, id: protocol.OperationId = None
    ) -> None:
        session, limits = seat.session, grant.limits
        used = self.layer.admission.count(seat, grant, takeover=takeover, elsewhere=elsewhere, id=id)
        session.open(grant)
        self.layer.open_keys.add(seat, grant.key_id)
        seat.outbox.bytes_max = min(limits.queue_bytes, self.layer.settings.outbox_bytes_max)
        stated = {
            "symbols": limits.symbols, "ops_per_s": limits.ops_per_s, "queue_bytes": seat.outbox.bytes_max,
            "sessions": limits.sessions, "sessions_used": used,
        }  # fmt: skip
        seat.outbox.put_control(
            replies.welcome(
                session=session.public_id, subscriber=grant.subscriber, limits=stated,
                heartbeat_s=self.layer.settings.heartbeat_s, at_ns=self.layer.clock_ns(), id=id,
            )
        )  # fmt: skip

    async def _serve(self, seat: Seat, event: dict[str, Any], *, retry_after_ms: int) -> None:
        operation = _parse(event, packed=seat.outbox.frames.binary)
        if retry_after_ms:
            refused = ProtocolError("RATE_LIMIT", "too many operations", id=operation.id)
            refused.retry_after_ms = retry_after_ms
            raise refused
        match operation:
            case protocol.Subscribe():
                await self._until_filled(operation)
                if operation.origin != LIVE:
                    await self._desk().admit(seat.session, operation)
                if not seat.cut:
                    seat.session.subscribe(operation)
            case protocol.SetSubscription():
                seat.session.change(operation)
            case protocol.Unsubscribe():
                seat.session.unsubscribe(operation)
            case protocol.Ping():
                seat.outbox.put_control(replies.pong(operation.id, at_ns=self.layer.clock_ns()))
            case protocol.ListSubscriptions():
                seat.session.list(operation)
            case protocol.StartReplay():
                await self._desk().start(seat, operation)
            case protocol.ControlReplay():
                await self._desk().control(seat, operation)
            case protocol.Authenticate():
                await self._upgrade(seat, operation)

    def _desk(self) -> ReplayDesk:
        if self.replays is None:
            raise ProtocolError("SHUTDOWN", "this gateway is not running: come back in a moment", fatal=True)
        return self.replays

    async def _until_filled(self, operation: protocol.Subscribe) -> None:
        """A gateway that has just started fetches the last seconds first: a resume before that would see a gap, and
        a subscriber would take old records for new ones."""
        if self.layer.filled.is_set():
            return
        now_s = asyncio.get_running_loop().time()
        if self.filled_by_s is None:
            self.filled_by_s = now_s + FILL_WAIT_S
        try:
            await asyncio.wait_for(self.layer.filled.wait(), max(0.0, self.filled_by_s - now_s))
        except TimeoutError:
            if operation.resume:
                error = ProtocolError("FEED_DOWN", "the feed is not there yet: resume later", id=operation.id)
                error.retry_after_ms = random.randint(500, 5_000)
                raise error from None

    async def _upgrade(self, seat: Seat, operation: protocol.Authenticate) -> None:
        """The `auth` operation: an anonymous session takes the rights of a key."""
        if not seat.session.anonymous:
            raise ProtocolError("BAD_PARAM", "this session is authenticated already", id=operation.id)
        try:
            grant = await self._login(operation.secret, seat.session.address or None)
        except ProtocolError as error:
            error.id = operation.id
            raise
        elsewhere = await self.layer.admission.elsewhere(grant, takeover=operation.takeover)
        if not seat.cut:
            self._open(seat, grant, takeover=operation.takeover, elsewhere=elsewhere, id=operation.id)

    def _refuse(self, seat: Seat, error: ProtocolError) -> None:
        """An error frame; a fatal one is followed by the close that its code stands for."""
        code = CLOSE_OF_ERROR.get(error.code, CloseCode.INTERNAL)
        if error.fatal and error.retry_after_ms is None and int(code) < 4400:
            error.retry_after_ms = random.randint(500, 5_000)
        self.layer.totals.errors[error.code] += 1
        seat.outbox.put_control(replies.error(error))
        if error.fatal:
            self.layer.flush_seat(seat)
            self.layer.cut(seat, code, error.code)

    async def _refuse_handshake(self, status: int, text: str) -> None:
        self.layer.totals.errors[f"HTTP_{status}"] += 1
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            return await self.send({"type": "websocket.close", "code": 4400})
        body = json.dumps({"error": text}).encode()
        headers = [(b"content-type", b"application/json")]
        await self.send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": body})


def _parse(event: dict[str, Any], *, packed: bool) -> protocol.Operation:
    """A text frame holds JSON, also in a session that is answered in msgpack; a binary one msgpack, only there."""
    text, data = event.get("text"), event.get("bytes")
    if text is not None:
        return protocol.parse(text)
    if packed and data is not None:
        return protocol.parse_packed(data)
    raise ProtocolError("BAD_JSON", "expected a text frame with a JSON object, got a binary frame")
