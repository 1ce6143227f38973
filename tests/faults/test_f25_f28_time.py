"""F25, F27, F28: sequences that begin anew or jump back, midnight and a new day in the flow, clocks that jump."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from feeds.capture import arbiter
from feeds.capture.raw_stage import RawStage
from feeds.journal.segments import session_end_ns
from testbed.evidence import violations
from testbed.in_process import InProcessPath
from testbed.invariants.identity import identity_of
from tests.faults.conftest import records

S = 1_000_000_000
HOUR = 3_600 * S


class Clock:
    """`time.time_ns` of this process, moved by the test; it starts at a midday. Its pace stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time_ns
        self._ahead_ns = 0
        self.set(session_end_ns(self._real()) - 12 * HOUR)
        monkeypatch.setattr(time, "time_ns", self.now_ns)

    def now_ns(self) -> int:
        return self._real() + self._ahead_ns

    def set(self, now_ns: int) -> None:
        self._ahead_ns = now_ns - self._real()

    def jump(self, by_ns: int) -> None:
        self._ahead_ns += by_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def flow(path: InProcessPath, count: int) -> None:
    """The exchange goes on; line B lost some that line A brought, and the other way round."""
    messages = path.make(count)
    for at, data in enumerate(messages):
        if at % 10 == 7:
            path.write([data], lines=(at // 10 % 2,))
        else:
            path.write([data])
    await path.until(path.at_tail, "all of it is read")


async def quiet_moment(path: InProcessPath, clock: Clock) -> None:
    """A second goes by, and what the exchange says once a second is said: the next message is of a known stream.
    Of one that is new to us the first number tells no reset, and goes out in the epoch before (`Arbiter._restart`)."""
    clock.jump(S)
    await flow(path, 30)
    clock.jump(6 * S // 10)  # a silence in which the source is started anew (`arbiter.PAUSE_NS`)


def restart(path: InProcessPath, *, back: int | None = None) -> None:
    """From here the exchange counts from 1 again, or from `back` numbers below."""
    for market in path.exchange.markets:
        if back is None:
            market.sequences.reset()
        else:
            market.sequences.go_back(back)
    path.era += 1


async def begun(path: InProcessPath) -> None:
    """The stream of books and trades begins above 1, so it is held at first. Other streams do not wait for it: a W of
    that moment would pass an older book of its symbol."""
    while True:
        (data,) = path.make(1)
        path.write([data])
        identity = identity_of(data)
        if identity is not None and identity.stream == "market":
            break
    await path.until(lambda: path.at_tail() and path.waits_for_nothing(), "the stream has begun")


async def test_f25_sequence_reset_and_backward_jump(
    tmp_path: Path, seed: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arbiter, "RESET_DISTANCE", 200)  # of 1,000: fewer messages
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        path.start("publisher", "parser")
        await flow(path, 300)
        await quiet_moment(path, clock)
        restart(path)
        await flow(path, 500)
        clock.jump(S)
        restart(path, back=300)
        await begun(path)
        await flow(path, 200)
        found = await path.settle()
    assert violations(path, found) == []
    assert found.publisher["resets"] == 2
    assert found.publisher["missing"] == 0
    assert len({record["ep"] for record in records(found)}) == 3


async def test_f25_a_reset_that_makes_no_epoch_is_seen(
    tmp_path: Path, seed: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test of the tests: without a new epoch the parser takes the new messages for old copies."""

    def nothing(_stage: RawStage, _rx_ns: int) -> None:
        """The epoch stays."""

    monkeypatch.setattr(RawStage, "_on_reset", nothing)
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        path.start("publisher", "parser")
        await flow(path, 300)
        await quiet_moment(path, clock)
        restart(path)
        await flow(path, 300)
        found = await path.settle()
    assert {text.split()[0].rstrip(":") for text in violations(path, found)} >= {"I5"}


async def test_f27_midnight_and_a_new_day_while_it_flows(tmp_path: Path, seed: int, clock: Clock) -> None:
    """The numbers go on over midnight and begin anew some time later; each begins an epoch."""
    clock.set(session_end_ns(time.time_ns()) - 60 * S)
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        path.start("publisher", "parser")
        await flow(path, 300)
        clock.jump(60 * S)
        path.era += 1
        await flow(path, 300)
        clock.jump(8 * HOUR)
        path.exchange.new_day()
        path.era += 1
        await flow(path, 300)
        clock.jump(24 * HOUR)  # the next day begins with its numbers
        path.exchange.new_day()
        path.era += 1
        await flow(path, 300)
        found = await path.settle()
    assert violations(path, found) == []
    assert found.publisher["missing"] == 0
    assert found.publisher["resets"] == 1, "numbers had gone on in the epoch of the second day"


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, -3 * S], ids=["on", "back", "back a little"])
async def test_f28_clock_jump(tmp_path: Path, seed: int, clock: Clock, by_ns: int) -> None:
    """Ours, not the exchange's: receive times jump. Nothing is lost, nothing waits for the time to come back."""
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        began_ns, ours_ns = clock.now_ns(), time.monotonic_ns()
        path.exchange_clock = lambda: began_ns + time.monotonic_ns() - ours_ns
        path.start("publisher", "parser")
        await flow(path, 300)
        clock.jump(by_ns)
        await flow(path, 300)
        await path.until(path.all_published, "all of it is published")
        clock.jump(-by_ns)
        await flow(path, 300)
        found = await path.settle()
    assert violations(path, found) == []
    assert found.publisher["missing"] == 0
    assert found.publisher["resets"] == 0
