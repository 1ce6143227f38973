"""Who is looked at, and when: heartbeats in turn, deadlines, and ticks that pass by those who have nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from subscriptions.close_codes import CloseCode
from subscriptions.entitlements import Grant
from subscriptions.gateway.layer import SLICE_SEATS, GatewaySettings, Seat, StreamLayer, stream_group
from subscriptions.gateway.looks import Looks
from subscriptions.gateway.places import PLACES, turns_of
from subscriptions.gateway.ticker import STRETCH_MAX, TURN_S_MIN, Stretch, is_done, next_flush_s
from subscriptions.gateway.wheel import SLOT_NS, Wheel
from tests.gateway import cast

S = 1_000_000_000


class Sink:
    """A client that reads everything, until `reads` is False."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed: int | None = None
        self.reads = True

    def writable(self) -> bool:
        return self.reads

    def write(self, frames: list[bytes]) -> None:
        self.frames += map(json.loads, frames)

    def cut(self, code: int, reason: str) -> None:
        self.closed = code


class Scene:
    def __init__(self, **settings: Any) -> None:
        self.now_ns = 1_000 * S
        self.layer = StreamLayer(clock_ns=lambda: self.now_ns)
        self.layer.settings = GatewaySettings(**settings)
        self.looks = Looks(self.layer, heartbeat=lambda now_ns: b'{"t":"hb"}')

    def seat(self, name: str, grant: Grant | None = None) -> tuple[Seat, Sink]:
        sink = Sink()
        seat = self.layer.open_seat(name, sink)
        if grant is not None:
            seat.session.open(grant)
        return seat, sink

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now_ns += SLOT_NS
            self.layer.tick()
            self.looks.look(self.now_ns)

    async def follow(self, seat: Seat, symbol: str) -> None:
        await self.layer.group_add(stream_group("trade", symbol), seat.session.name)


def test_the_wheel_gives_each_name_once_its_slot_is_over() -> None:
    wheel = Wheel()
    wheel.put("a", 5 * SLOT_NS)
    wheel.put("b", 5 * SLOT_NS + 1)
    wheel.put("c", 7 * SLOT_NS)
    assert wheel.due(5 * SLOT_NS + 2) == []
    assert wheel.due(6 * SLOT_NS) == ["a", "b"]
    wheel.put("late", 1)
    assert (wheel.due(6 * SLOT_NS), len(wheel)) == ([], 2)
    assert wheel.due(9 * SLOT_NS) == ["late", "c"]


def test_heartbeats_go_to_the_idle_and_are_spread_as_they_came() -> None:
    scene = Scene(heartbeat_s=5)
    sinks = []
    for number in range(10):
        sinks.append(scene.seat(f"stream.{number}", cast.alice())[1])
        scene.pass_s(0.4)
    most = 0
    for _ in range(300):
        before = sum(len(sink.frames) for sink in sinks)
        scene.pass_s(0.1)
        most = max(most, sum(len(sink.frames) for sink in sinks) - before)
    assert {len(sink.frames) for sink in sinks} <= {5, 6}
    assert most == 1


async def test_no_heartbeat_to_who_is_served() -> None:
    scene = Scene(heartbeat_s=2)
    (busy, heard), (_, idle) = scene.seat("stream.a", cast.alice()), scene.seat("stream.b", cast.alice())
    await scene.follow(busy, "FPT")
    for number in range(1, 11):
        scene.layer.publish(cast.trade("FPT", number))
        scene.pass_s(1)
    assert [[one["n"] for one in frame] for frame in heard.frames] == [[number] for number in range(1, 11)]
    assert len(idle.frames) in (4, 5)
    scene.pass_s(2.2)
    assert heard.frames[-1] == {"t": "hb"}


def test_who_does_not_read_is_given_one_heartbeat_and_no_more() -> None:
    scene = Scene(heartbeat_s=1)
    seat, sink = scene.seat("stream.a", cast.alice())
    sink.reads = False
    scene.pass_s(8)
    assert len(seat.outbox.pending) == 1
    sink.reads = True
    scene.pass_s(0.1)
    assert sink.frames == [{"t": "hb"}]


def test_who_never_authenticates_is_closed_in_time() -> None:
    scene = Scene(authenticate_s=3.0)
    _, sink = scene.seat("stream.a")
    scene.pass_s(2.5)
    assert sink.closed is None
    scene.pass_s(2)
    assert sink.closed == CloseCode.AUTH
    scene.layer.close_seat("stream.a")
    scene.pass_s(2)
    assert len(scene.layer.wheel) == 0


async def test_a_tick_asks_only_those_who_have_something() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(50)]
    await scene.follow(seats[7][0], "FPT")
    await scene.follow(seats[8][0], "VNM")
    scene.layer.publish(cast.trade("FPT", 1))
    seats[9][0].outbox.put_control(b'{"t":"pong"}')
    assert sum(scene.layer.slices()) == 2
    assert [len(sink.frames) for _, sink in seats] == [int(number in (7, 9)) for number in range(50)]
    assert sum(scene.layer.slices()) == 0


async def test_who_leaves_a_stream_still_gets_what_it_had() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(10)]
    await scene.follow(seats[0][0], "FPT")
    scene.layer.publish(cast.trade("FPT", 1))
    await scene.layer.group_discard(stream_group("trade", "FPT"), "stream.0")
    scene.layer.tick()
    assert [[one["n"] for one in frame] for frame in seats[0][1].frames] == [[1]]


async def test_what_a_socket_did_not_take_is_looked_at_in_every_tick() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(10)]
    seat, sink = seats[3]
    await scene.follow(seat, "FPT")
    sink.reads = False
    scene.layer.publish(cast.trade("FPT", 1))
    for _ in range(3):
        scene.layer.tick()
        assert scene.layer.places.waiting() == {"stream.3"}
    sink.reads = True
    scene.layer.tick()
    assert ([len(frame) for frame in sink.frames], scene.layer.places.waiting()) == ([1], set())


async def test_between_two_slices_of_a_tick_records_come_and_seats_go() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(2 * SLICE_SEATS + 1)]
    for seat, _ in seats:
        await scene.follow(seat, "FPT")
    scene.layer.publish(cast.trade("FPT", 1))
    tick = scene.layer.slices()
    assert next(tick) == SLICE_SEATS
    written = [sink for _, sink in seats if sink.frames]
    to_come = [(seat, sink) for seat, sink in seats if not sink.frames]
    assert [len(sink.frames) for sink in written] == [1] * SLICE_SEATS
    scene.layer.publish(cast.trade("FPT", 2))
    scene.layer.cut(to_come[-1][0], CloseCode.SHUTDOWN, "SHUTDOWN")
    scene.layer.close_seat(to_come[50][0].session.name)
    assert sum(tick) == SLICE_SEATS - 1
    assert [one["n"] for one in to_come[20][1].frames[0]] == [1, 2]
    assert (to_come[-1][1].frames, to_come[50][1].frames) == ([], [])
    scene.layer.tick()
    assert [[one["n"] for one in frame] for frame in written[0].frames] == [[1], [2]]


async def test_every_seat_has_its_turn_in_a_flush() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(4 * PLACES)]
    for seat, _ in seats:
        await scene.follow(seat, "FPT")
    turns = PLACES // 2
    for number in range(1, 3):
        scene.layer.publish(cast.trade("FPT", number))
        for turn in range(turns):
            assert sum(scene.layer.slices(turn, turns)) == 8
        assert sum(scene.layer.slices(0, turns)) == 0
    assert [[[one["n"] for one in frame] for frame in sink.frames] for _, sink in seats] == [[[1], [2]]] * len(seats)
    # What comes behind a seat's turn waits for its next one, whatever others are given meanwhile.
    scene.layer.publish(cast.trade("FPT", 3))
    sum(scene.layer.slices(0, turns))
    early = [sink for _, sink in seats if len(sink.frames) == 3]
    scene.layer.publish(cast.trade("FPT", 4))
    for turn in range(1, turns):
        sum(scene.layer.slices(turn, turns))
    assert {len(sink.frames) for sink in early} == {3}
    sum(scene.layer.slices(0, turns))
    assert [[one["n"] for one in sink.frames[-1]] for sink in early] == [[4]] * 8


def test_a_flush_has_as_many_turns_as_its_seats_and_its_interval_allow() -> None:
    def turns(seats: int, interval_s: float) -> int:
        return turns_of(seats, interval_s, seats_max=SLICE_SEATS, turn_s_min=TURN_S_MIN)

    assert [turns(seats, 0.050) for seats in (0, 128, 129, 257, 1_000, 10_000)] == [1, 1, 2, 4, 8, 8]
    assert [turns(1_000, interval_s) for interval_s in (0.001, 0.003, 0.004, 0.010, 0.020)] == [1, 1, 2, 4, 8]


async def test_a_shutdown_in_the_middle_of_a_tick_sends_what_waits() -> None:
    scene = Scene()
    seats = [scene.seat(f"stream.{number}", cast.alice()) for number in range(SLICE_SEATS + 1)]
    for seat, _ in seats:
        await scene.follow(seat, "FPT")
    scene.layer.publish(cast.trade("FPT", 1))
    next(scene.layer.slices())
    scene.layer.shut_down()
    assert {(len(sink.frames), sink.closed) for _, sink in seats} == {(1, CloseCode.SHUTDOWN)}


def test_a_flush_is_on_time_and_rests_behind_a_long_one() -> None:
    assert next_flush_s(5.000, 5.001, busy_s=0.001, interval_s=0.010) == 5.010
    assert next_flush_s(5.000, 5.008, busy_s=0.008, interval_s=0.010) == pytest.approx(5.010)
    assert next_flush_s(5.000, 5.010, busy_s=0.010, interval_s=0.010) == pytest.approx(5.0125)
    assert next_flush_s(5.000, 5.040, busy_s=0.040, interval_s=0.010) == pytest.approx(5.0425)
    # In several turns: the loop had its time between them.
    assert next_flush_s(5.000, 5.009, busy_s=0.003, interval_s=0.010) == 5.010
    assert next_flush_s(5.000, 5.012, busy_s=0.003, interval_s=0.010) == 5.012


def test_intervals_grow_while_the_loop_is_busy_nearly_all_the_time() -> None:
    stretch, wall_s, cpu_s = Stretch(), 100.0, 7.0

    def flushes(count: int, busy: float) -> float:
        nonlocal wall_s, cpu_s
        for _ in range(count):
            wall_s, cpu_s = wall_s + 0.05 * stretch.times, cpu_s + busy * 0.05 * stretch.times
            stretch.note(wall_s, cpu_s)
        return stretch.times

    assert flushes(100, 0.80) == 1.0, "busy, with room: every record in its interval"
    grown = flushes(15, 1.0)
    assert 1.5 < grown < STRETCH_MAX
    assert flushes(20, 0.90) >= grown, "that is what it settles at"
    assert flushes(200, 1.0) == STRETCH_MAX
    assert flushes(200, 0.5) == 1.0


def test_a_clock_that_stands_still_stretches_nothing() -> None:
    stretch = Stretch()
    for _ in range(100):
        stretch.note(5.0, 5.0)
    assert stretch.times == 1.0


def test_a_flush_of_the_intake_takes_the_place_of_the_next_turns() -> None:
    ms = 1_000_000
    assert is_done(104 * ms, 100 * ms, 0.010)
    assert not is_done(105 * ms, 100 * ms, 0.010)
    assert not is_done(90 * ms, 100 * ms, 0.010)  # the clock was set back
