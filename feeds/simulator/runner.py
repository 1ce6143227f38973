"""Runs the fake exchange against the clock: takes what is due, sends it, says how it goes."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from feeds.simulator.batch import Batch
from feeds.simulator.day import DAY_START_S, CompressedDay
from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message
from feeds.simulator.output import FeedOutput, Sends
from feeds.simulator.pacing import Burst, Pace
from feeds.simulator.sender import LineSender
from feeds.simulator.stamp import stamp_of, trading_time_s

_BATCH_MESSAGES_MAX = 512
"""One turn of the loop: at full speed the stop flag is looked at every few milliseconds."""
_PREPARED_CHUNK_MAX = 32
_TICK_S_MIN, _TICK_S_MAX = 0.001, 0.02
_SCRIPTED_RATE_MIN = 2_000
"""Definitions and board events go out at least this fast, as a slow demonstration must not wait for its quotes."""
_HEARTBEAT_NS = 1_000_000_000

Batches = list[tuple[LineSender, Batch]]


class DayMode(Enum):
    STEADY = "steady"
    COMPRESSED = "compressed"
    REALTIME = "realtime"


@dataclass(frozen=True)
class RunPlan:
    """`duration_s` and `count` of None mean without end; a compressed day needs its duration."""

    rate: float
    mode: DayMode = DayMode.STEADY
    duration_s: float | None = None
    count: int | None = None
    burst: Burst | None = None
    heartbeat: bool = True


class Runner:
    """One run. `report` is called with the summary so far every `report_s`."""

    def __init__(self, exchange: Exchange, outputs: Sequence[FeedOutput], plan: RunPlan) -> None:
        self._exchange = exchange
        self._outputs = {output.name: output for output in outputs}
        self._plan = plan
        self._pace = Pace(plan.rate, burst=plan.burst)
        self._types: Counter[str] = Counter()
        self._sent = 0
        self._start_ns = 0
        self._elapsed_s = 0.0
        self._heartbeat_ns = 0
        self._trade_date = ""
        compressed = plan.mode is DayMode.COMPRESSED
        self._compressed = CompressedDay(plan.duration_s or 0) if compressed else None

    def run(
        self, stopped: Callable[[], bool], *, report: Callable[[dict[str, object]], None] | None, report_s: float = 2.0
    ) -> dict[str, object]:
        """Until the plan is done or `stopped()`; returns the summary."""
        self._begin()
        report_ns = self._start_ns + int(report_s * 1e9)
        while not stopped() and not self._done():
            busy = self._turn()
            now_ns = time.monotonic_ns()
            self._elapsed_s = (now_ns - self._start_ns) / 1e9
            if report is not None and now_ns >= report_ns:
                report_ns = now_ns + int(report_s * 1e9)
                report(self.summary())
            if not busy:
                time.sleep(self._tick_s())
        self._end()
        return self.summary()

    def run_prepared(self, count: int, stopped: Callable[[], bool]) -> dict[str, object]:
        """Makes `count` messages first, then only sends them: what is measured is the listener, not the simulator.

        Needs about 1 KB of memory a message. The messages bear the time at which they were meant to be sent, counted
        from the start of the preparation.
        """
        chunk = max(1, min(int(self._plan.rate * _TICK_S_MIN), _PREPARED_CHUNK_MAX))
        prepared = self._prepare(count, chunk, stopped)
        self._begin()
        place = owed = 0
        while not stopped() and place < len(prepared):
            owed += self._pace.due(time.monotonic_ns())
            now_ns = time.time_ns()
            while owed >= chunk and place < len(prepared):
                size, sends = prepared[place]
                for sender, batch in sends:
                    if sender.plain:
                        sender.send_batch(batch)
                    else:
                        sender.offer(batch.datagrams, now_ns)
                self._sent += size
                owed -= chunk
                place += 1
            self._beat(now_ns)
            self._elapsed_s = (time.monotonic_ns() - self._start_ns) / 1e9
            time.sleep(_TICK_S_MIN)
        self._end()
        return self.summary()

    def summary(self) -> dict[str, object]:
        """The counters of the run so far."""
        elapsed_s = max(self._elapsed_s, 1e-9)
        return {
            "messages": self._sent,
            "elapsed_s": round(self._elapsed_s, 3),
            "rate": round(self._sent / elapsed_s, 1),
            "skipped": self._pace.skipped,
            "types": dict(self._types.most_common()),
            "phases": self._exchange.phases,
            "feeds": {name: output.summary() for name, output in self._outputs.items()},
        }

    def _begin(self) -> None:
        self._start_ns = time.monotonic_ns()
        self._pace.due(self._start_ns)

    def _turn(self) -> bool:
        """One look at the clock; True when more is due at once."""
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        self._set_time(now_ns, monotonic_ns)
        factor = self._exchange.rate_factor
        if self._exchange.waiting:
            factor = max(factor, _SCRIPTED_RATE_MIN / self._plan.rate)
        due = self._pace.due(monotonic_ns, factor)
        wanted = min(due, _BATCH_MESSAGES_MAX)
        self._pace.give_back(due - wanted)
        if self._plan.count is not None:
            wanted = min(wanted, self._plan.count - self._sent)
        messages = self._exchange.take(wanted)
        for sender, datagrams in self._plan_sends(messages, now_ns):
            sender.offer(datagrams, now_ns)
        self._sent += len(messages)
        self._beat(now_ns)
        return due > wanted

    def _set_time(self, now_ns: int, monotonic_ns: int) -> None:
        if self._compressed is not None:
            day_time_s = self._compressed.time_at((monotonic_ns - self._start_ns) / 1e9)
        elif self._plan.mode is DayMode.REALTIME:
            trade_date = stamp_of(now_ns).trade_date
            if self._trade_date and trade_date != self._trade_date:
                self._exchange.new_day()
            self._trade_date = trade_date
            day_time_s = trading_time_s(now_ns)
        else:
            day_time_s = float(DAY_START_S)
        self._exchange.set_time(now_ns, day_time_s)

    def _plan_sends(self, messages: list[Message], now_ns: int) -> Sends:
        self._types.update([message.msg_type for message in messages])
        if len(self._outputs) == 1:
            return next(iter(self._outputs.values())).plan(messages, now_ns)
        sends: Sends = []
        for name, output in self._outputs.items():
            own = [message for message in messages if message.feed == name]
            if own:
                sends += output.plan(own, now_ns)
        return sends

    def _beat(self, now_ns: int) -> None:
        """Heartbeats, once a second, and what the skew of a line has held back."""
        for output in self._outputs.values():
            output.release(now_ns)
        if self._plan.heartbeat and now_ns - self._heartbeat_ns >= _HEARTBEAT_NS:
            self._heartbeat_ns = now_ns
            for message in self._exchange.heartbeats():
                self._types["MV"] += 1
                for sender, datagrams in self._outputs[message.feed].plan_heartbeat(message, now_ns):
                    sender.offer(datagrams, now_ns)

    def _prepare(self, count: int, chunk: int, stopped: Callable[[], bool]) -> list[tuple[int, Batches]]:
        """(messages, what goes out on each line) for each chunk, in order."""
        prepared: list[tuple[int, Batches]] = []
        start_ns = time.time_ns()
        made = 0
        while made < count and not stopped():
            now_ns = start_ns + int(made / self._plan.rate * 1e9)
            self._exchange.set_time(now_ns, float(DAY_START_S))
            messages = self._exchange.take(min(chunk, count - made))
            prepared.append((len(messages), _batches(self._plan_sends(messages, now_ns))))
            made += len(messages)
        return prepared

    def _tick_s(self) -> float:
        return min(max(1 / self._plan.rate, _TICK_S_MIN), _TICK_S_MAX)

    def _done(self) -> bool:
        if self._plan.count is not None and self._sent >= self._plan.count:
            return True
        over = self._plan.duration_s is not None and self._elapsed_s >= self._plan.duration_s
        # a compressed day ends with its last message, not in the middle of the closing prices
        return over and not (self._compressed is not None and self._exchange.waiting)

    def _end(self) -> None:
        for output in self._outputs.values():
            output.finish()


def _batches(sends: Sends) -> Batches:
    """One batch for lines that send the same datagrams."""
    batches: Batches = []
    for sender, datagrams in sends:
        same = next((batch for _, batch in batches if batch.datagrams is datagrams), None)
        batches.append((sender, same or Batch(datagrams)))
    return batches
