"""Sessions under a random history of subs, sets, resumes, stalls and epochs, each record held against the truth."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from subscriptions.gateway.encodings import JsonFrames, PackedFrames
from subscriptions.gateway.layer import GatewaySettings, Seat, StreamLayer
from subscriptions.protocol import SetSubscription, Subscribe, Unsubscribe
from tests.gateway import cast
from tests.gateway.model import Held, ModelClient, Truth

SYMBOLS = ("VN30A", "VN30B", "FPT")
CHANNELS = ("trade", "depth", "quote", "book")
BOUND = 16_000
CLIENTS = 3
who = st.integers(0, CLIENTS - 1)
gateways = st.integers(0, 1)


class Sessions(RuleBasedStateMachine):
    """Two gateways that hear the same records, the second one late; clients move between them."""

    @initialize()
    def start(self) -> None:
        self.now_ns = 1_000_000_000_000
        self.truth = Truth()
        self.layers = [StreamLayer(clock_ns=lambda: self.now_ns) for _ in range(2)]
        for layer in self.layers:
            layer.settings = GatewaySettings(outbox_bytes_max=BOUND)
            layer.hub.histories.records_max, layer.hub.histories.length_max = 24, 30
            layer.hub.symbols.update(SYMBOLS)
        self.lagging: list[bytes] = []
        self.names = itertools.count()
        self.clients: list[ModelClient] = []
        self.seats: list[Seat] = []
        self.at = [0] * CLIENTS
        for number in range(CLIENTS):
            client = ModelClient(self.truth, packed=number == 1)
            self.clients.append(client)
            self.seats.append(self.seat(client, 0))

    def seat(self, client: ModelClient, gateway: int) -> Seat:
        frames = PackedFrames if client.packed else JsonFrames
        seat = self.layers[gateway].open_seat(f"stream.{next(self.names)}", client, frames=frames)
        seat.session.open(cast.grant(cast.rule(CHANNELS, level=10)))
        return seat

    def flush(self, number: int) -> None:
        self.layers[self.at[number]].flush_seat(self.seats[number])

    # What happens at the exchange

    @rule(
        channel=st.sampled_from(("trade", "depth", "depth")),
        symbol=st.sampled_from(SYMBOLS),
        board=st.sampled_from(("G1", "G4")),
        images=st.lists(st.dictionaries(st.integers(1, 9), st.integers(1, 5), max_size=6), min_size=1, max_size=12),
    )
    def publish(self, channel: str, symbol: str, *, board: str, images: list[dict[int, int]]) -> None:
        lines = [self.truth.add(channel, symbol, board=board, levels=list(one.items())) for one in images]
        body = b"\n".join(lines)
        self.layers[0].publish(body)
        self.lagging.append(body)
        self.layers[0].tick()

    @rule()
    def second_gateway_hears(self) -> None:
        for body in self.lagging:
            self.layers[1].publish(body)
        self.lagging.clear()
        self.layers[1].tick()

    @rule(ms=st.sampled_from((10, 60, 400)))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * 1_000_000
        for layer in self.layers:
            layer.tick()
            layer.hub.catch_up.sweep(self.now_ns)

    @precondition(lambda self: self.truth.epoch < 4)
    @rule()
    def new_epoch(self) -> None:
        self.truth.next_epoch()

    # What clients do

    @rule(
        number=who,
        channel=st.sampled_from(CHANNELS),
        symbols=st.sampled_from((("FPT",), ("VN30A", "FPT"), ("VN30*",), ("*",))),
        conflate_ms=st.sampled_from((0, 0, 50, 250)),
        depth=st.sampled_from((3, 10)),
        boards=st.sampled_from(((), (), ("G1",))),
    )
    def sub(self, number: int, **asked: Any) -> None:
        self.subscribe(number, asked, {})

    def subscribe(self, number: int, asked: dict[str, Any], resume: dict[str, tuple[str, int]]) -> None:
        client, channel = self.clients[number], asked["channel"]
        if not client.reads or client.closed is not None:
            return
        hub = self.layers[self.at[number]].hub
        taken = [one for one in client.sids.values() if one["channel"] == channel]
        if taken:
            return
        sid = self.seats[number].session._sids + 1
        client.sids[sid] = dict(asked)
        for symbol in SYMBOLS:
            if client.sid_of((channel, symbol)) != sid:
                continue
            stream = hub.origins["live"].get(b'{"ch":"%b","s":"%b"' % (
                ("trade" if channel == "trade" else "depth").encode(), symbol.encode()))  # fmt: skip
            if symbol in resume:
                client.held[channel, symbol] = Held(*resume[symbol])
            else:
                images = channel in ("depth", "quote")  # they come first, with holes
                known = stream is not None and bool(stream.epoch)
                epoch = stream.epoch.decode() if stream is not None else ""
                at = stream.number if stream is not None and known else 0
                client.held[channel, symbol] = Held(epoch, None if images or not at else at, images_to=at)
        operation = Subscribe(
            1, channel, asked["symbols"], depth=asked["depth"] if channel in ("depth", "book") else None,
            conflate_ms=asked["conflate_ms"], boards=asked["boards"],
            resume=tuple((symbol, epoch, at) for symbol, (epoch, at) in resume.items()),
        )  # fmt: skip
        self.seats[number].session.subscribe(operation)
        self.flush(number)
        assert client.answers.pop()["sid"] == sid

    @rule(number=who, pick=st.integers(0, 3))
    def unsub(self, number: int, pick: int) -> None:
        client = self.clients[number]
        if client.reads and client.sids and client.closed is None:
            sid = sorted(client.sids)[pick % len(client.sids)]
            self.flush(number)
            self.seats[number].session.unsubscribe(Unsubscribe(1, sid))
            self.flush(number)
            gone = client.sids.pop(sid)["channel"]
            client.held = {key: held for key, held in client.held.items() if key[0] != gone}

    @rule(number=who, pick=st.integers(0, 3), conflate_ms=st.sampled_from((0, 50, 250)), depth=st.sampled_from((3, 10)))
    def change(self, number: int, *, pick: int, conflate_ms: int, depth: int) -> None:
        client = self.clients[number]
        if not client.reads or not client.sids or client.closed is not None:
            return
        sid = sorted(client.sids)[pick % len(client.sids)]
        asked = client.sids[sid]
        levels = asked["channel"] in ("depth", "book")
        self.layers[self.at[number]].hub.flush_bucket(asked["conflate_ms"] or 1)
        self.flush(number)
        asked |= {"conflate_ms": conflate_ms} | ({"depth": depth} if levels else {})
        operation = SetSubscription(1, sid, conflate_ms, depth if levels else None)
        self.seats[number].session.change(operation)
        self.flush(number)

    @rule(number=who)
    def stall(self, number: int) -> None:
        self.clients[number].reads = False

    @rule(number=who)
    def go_on(self, number: int) -> None:
        self.clients[number].reads = True
        self.flush(number)

    @rule(number=who, gateway=gateways, resume=st.booleans())
    def reconnect(self, number: int, *, gateway: int, resume: bool) -> None:
        """Leave at any moment, whatever is queued, and come back with what was received."""
        before = self.clients[number]
        self.layers[self.at[number]].close_seat(self.seats[number].session.name)
        client = self.clients[number] = ModelClient(self.truth, packed=before.packed)
        self.at[number] = gateway
        self.seats[number] = self.seat(client, gateway)
        for asked in before.sids.values():
            points = {
                symbol: (held.epoch, held.number)
                for (channel, symbol), held in before.held.items()
                if channel == asked["channel"] and held.number and held.epoch and resume
            }
            if points and asked["channel"] == "book":  # a client goes on with its books
                books = {symbol: before.held["book", symbol].books for symbol in points}
            else:
                books = {}
            sid = self.seats[number].session._sids + 1
            self._reopen(number, asked, points=points, books=books)
            assert sid in client.sids

    def _reopen(
        self, number: int, asked: dict[str, Any], *, points: dict[str, tuple[str, int]], books: dict[str, Any]
    ) -> None:
        client = self.clients[number]
        write = client.write
        waiting: list[list[bytes]] = []
        client.write = waiting.append  # type: ignore[method-assign]
        client.answers.append({"sid": self.seats[number].session._sids + 1})
        self.subscribe(number, asked, points)
        client.write = write  # type: ignore[method-assign]
        for symbol, kept in books.items():
            client.held["book", symbol].books = kept
        for frames in waiting:
            client.write(frames)
        client.answers.clear()

    @invariant()
    def nobody_with_something_is_forgotten(self) -> None:
        for layer in getattr(self, "layers", ()):
            due = layer.places.waiting().union(*(variant.members for variant in layer.hub.fresh))
            for name, seat in layer.seats.items():
                assert name in due or seat.cut or not (seat.outbox.pending or seat.outbox.slow), name

    @invariant()
    def what_is_followed_is_counted(self) -> None:
        for layer in getattr(self, "layers", ()):
            assert layer.hub.follows == sum(len(member.follows) for member in layer.hub.members.values())

    @invariant()
    def nobody_is_cut(self) -> None:
        assert all(client.closed in (None, 4001) for client in getattr(self, "clients", ()))

    def teardown(self) -> None:
        """Everybody reads, time passes: all have everything."""
        if not hasattr(self, "clients"):
            return
        self.second_gateway_hears()
        for number, client in enumerate(self.clients):
            client.reads = True
            self.flush(number)
        for _ in range(3):
            self.time_passes(400)
        for client in self.clients:
            if client.closed is None:
                self._holds_all(client)

    def _holds_all(self, client: ModelClient) -> None:
        for (channel, symbol), held in client.held.items():
            newest = self.truth.number(channel, symbol)
            if not newest or client.sid_of((channel, symbol)) is None or held.epoch != self.truth.epoch_text:
                continue
            boards = client.sids[client.sid_of((channel, symbol)) or 0]["boards"] or ("G1", "G4")
            last = max(
                (
                    one["n"]
                    for one in (self.truth.last(channel, symbol, at=newest, board=board) for board in boards)
                    if one
                ),
                default=0,
            )
            reached = max([held.number or 0, *(to for _, to in held.skipped)])
            assert reached >= last, (channel, symbol, held.number, last)


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
