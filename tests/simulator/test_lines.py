"""Datagrams over real sockets on loopback, plain UDP and multicast."""

import os
import signal
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from feeds.config import FeedConfig, LineConfig
from feeds.simulator.cap import CapDatagram
from feeds.simulator.exchange import Exchange
from feeds.simulator.faults import LOST, FaultRates
from feeds.simulator.output import FaultPlan, FeedOutput
from feeds.simulator.player import MissingLine, Played, play
from feeds.simulator.runner import DayMode, Runner, RunPlan
from feeds.simulator.sender import LineSender, LineUnusable
from feeds.simulator.stop import StopFlag
from feeds.simulator.truth import TruthReader, TruthWriter
from feeds.simulator.truth_gaps import arrived, missing_ranges
from tests.simulator.listening import Listener
from tests.simulator.trading_days import fields_of

Listeners = dict[str, Listener]


def never() -> bool:
    return False


def run(feed: FeedConfig, plan: RunPlan, *, faults: FaultPlan | None = None, truth: TruthWriter | None = None,
        pack: int = 1, prepared: int = 0) -> dict[str, object]:  # fmt: skip
    exchange = Exchange({feed.name: feed.markets}, symbols=3, seed=1, steady=plan.mode is DayMode.STEADY)
    output = FeedOutput(feed, faults or FaultPlan(), truth=truth, pack=pack)
    runner = Runner(exchange, [output], plan)
    try:
        return runner.run_prepared(prepared, never) if prepared else runner.run(never, report=None)
    finally:
        output.close()
        if truth is not None:
            truth.flush()


def test_both_lines_carry_the_same_messages_in_order(feed: FeedConfig, listeners: Listeners) -> None:
    summary = run(feed, RunPlan(rate=20_000, count=300))
    on_a, on_b = listeners["A"].received(), listeners["B"].received()
    assert on_a == on_b
    assert summary["messages"] == 300
    assert len(on_a) == 301
    sequences = [int(dict(fields_of(data))[34]) for data in on_a if b"\x0135=d\x01" in data]
    assert sequences == list(range(1, 10))
    assert sum(b"\x0135=MV\x01" in data for data in on_a) == 1


def test_prepared_messages_are_sent_alike(feed: FeedConfig, listeners: Listeners) -> None:
    summary = run(feed, RunPlan(rate=20_000, heartbeat=False), prepared=200)
    assert summary["messages"] == 200
    on_a = listeners["A"].received()
    assert on_a == listeners["B"].received()
    assert len(on_a) == 200


def test_several_messages_travel_in_one_datagram(feed: FeedConfig, listeners: Listeners) -> None:
    run(feed, RunPlan(rate=20_000, count=100, heartbeat=False), pack=4)
    datagrams = listeners["A"].received()
    assert sum(data.count(b"8=FIX.4.4") for data in datagrams) == 100
    assert max(data.count(b"8=FIX.4.4") for data in datagrams) == 4


def test_faults_and_truth_agree_with_what_arrives(feed: FeedConfig, listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "run.truth"
    faults = FaultPlan(
        seed=3, lines={"A": FaultRates(loss=0.1, reorder=0.1), "B": FaultRates(duplicate=0.1)},
        skew_ms={"B": 5}, drop_both=((100, 110),),
    )  # fmt: skip
    with path.open("wb") as file:
        summary = run(feed, RunPlan(rate=20_000, count=400, heartbeat=False), faults=faults,
                      truth=TruthWriter(file, run={"seed": 3}))  # fmt: skip
    messages = list(TruthReader(path))
    on_a, on_b = Counter(listeners["A"].received()), Counter(listeners["B"].received())
    assert on_a == Counter(message.data for message in messages if not message.fates[0] & LOST)
    assert set(on_b) == {message.data for message in messages if not message.fates[1] & LOST}
    lost = [message.datagram for message in messages if not arrived(message)]
    assert lost == list(range(100, 111))
    assert sum(gap.last - gap.first + 1 for gap in missing_ranges(messages)) == 11
    lines = summary["feeds"]["STO"]["lines"]  # type: ignore[index]
    assert lines["A"]["sent"] == sum(on_a.values())
    assert lines["B"]["sent"] == sum(on_b.values()) == 389 + lines["B"]["duplicated"]


def test_a_compressed_day_reaches_its_end(feed: FeedConfig, listeners: Listeners) -> None:
    summary = run(feed, RunPlan(rate=2_000, mode=DayMode.COMPRESSED, duration_s=1.0))
    types = Counter(dict(fields_of(data))[35] for data in listeners["A"].received())
    assert types["M8"] == 3
    assert types["MV"] >= 1
    assert summary["phases"] == {"STO": "closed"}


def test_nobody_listening_at_a_plain_address_is_no_error() -> None:
    line = LineConfig("A", "127.0.0.1", 9, None, "127.0.0.1")
    sender = LineSender(line)
    for _ in range(5):
        sender.send(b"x")
    sender.close()
    assert sender.sent == 5
    assert sender.refused > 0


def test_a_line_that_cannot_be_opened_is_named() -> None:
    line = LineConfig("B", "239.1.1.1", 4000, "203.0.113.9", "127.0.0.1")
    with pytest.raises(LineUnusable, match=r"line B \(239.1.1.1:4000 from 203.0.113.9 on 127.0.0.1\): .*assign"):
        LineSender(line)


RECORDED = [CapDatagram(1_000_000_000 + number * 10_000_000, "AB"[number % 2], b"%d" % number) for number in range(20)]


@pytest.mark.parametrize(
    ("line", "on_a", "on_b"),
    [("both", 20, 20), ("A", 20, 0), ("B", 0, 20), ("recorded", 10, 10)],
)
def test_a_recording_goes_to_the_lines_asked_for(
    feed: FeedConfig, listeners: Listeners, line: str, on_a: int, on_b: int
) -> None:
    played = play(feed, RECORDED, line=line, speed=0, stopped=never, report=lambda count, elapsed_s: None)
    assert played.datagrams == 20
    assert (len(listeners["A"].received()), len(listeners["B"].received())) == (on_a, on_b)


def test_a_recording_keeps_its_timing_divided_by_the_speed(feed: FeedConfig, listeners: Listeners) -> None:
    played = play(feed, RECORDED, line="both", speed=2, stopped=never, report=lambda count, elapsed_s: None)
    assert 0.095 <= played.elapsed_s < 1.0
    assert listeners["B"].received() == [datagram.data for datagram in RECORDED]


def test_playing_can_be_stopped(feed: FeedConfig) -> None:
    played: Played = play(feed, RECORDED, line="both", speed=1, stopped=lambda: True, report=lambda *_: None)
    assert played.datagrams == 0


def test_a_line_the_feed_has_not_is_named(feed: FeedConfig) -> None:
    only_a = FeedConfig(id=1, name="STO", exchange="HOSE", markets=("STO",), lines=feed.lines[:1])
    with pytest.raises(MissingLine, match="feed STO has no line B; its lines are A"):
        play(only_a, RECORDED, line="B", speed=0, stopped=never, report=lambda *_: None)


def test_the_stop_flag_is_set_by_a_signal_and_gives_the_handlers_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_truth_log_is_small_with_digests() -> None:
    sizes = []
    for keep_bytes in (True, False):
        file = BytesIO()
        exchange = Exchange({"DVX": ("DVX",)}, symbols=4)
        exchange.set_time(10**18, 0)
        truth = TruthWriter(file, run={}, keep_bytes=keep_bytes)
        for message in exchange.take(100):
            truth.write(message, datagram=1, at_ns=1, fates=(0, 0))
        truth.flush()
        sizes.append(len(file.getvalue()))
    assert sizes[1] < sizes[0] / 3
    assert sizes[1] < 100 * 60
