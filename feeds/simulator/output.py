"""Puts one feed's messages into datagrams on its lines, through the faults and into the truth log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feeds.config import FeedConfig
from feeds.simulator.faults import NO_LINE, SENT, FaultRates, LineFaults, SharedLoss
from feeds.simulator.message import Message
from feeds.simulator.sender import LineSender
from feeds.simulator.truth import TruthWriter

_NO_FAULTS = FaultRates()


@dataclass(frozen=True)
class FaultPlan:
    """The faults of a whole run; each feed and line draws its own from the one seed."""

    seed: int = 1
    lines: Mapping[str, FaultRates] = field(default_factory=dict)
    skew_ms: Mapping[str, float] = field(default_factory=dict)
    loss_both: float = 0.0
    drop_both: tuple[tuple[int, int], ...] = ()


Sends = list[tuple[LineSender, list[bytes]]]


class FeedOutput:
    """The lines of one feed. `plan` decides, the caller sends: at once, or later in a prepared run."""

    def __init__(self, feed: FeedConfig, plan: FaultPlan, *, truth: TruthWriter | None, pack: int = 1) -> None:
        self.name = feed.name
        self.messages = 0
        self.datagrams = 0
        self._turns = 0
        self._truth = truth
        self._pack = pack
        self.senders: list[LineSender] = []
        self.faults: dict[str, LineFaults] = {}
        self._shared = SharedLoss(plan.loss_both, plan.drop_both, seed=plan.seed, feed=feed.name)
        try:
            for line in feed.lines:
                self.senders.append(LineSender(line, skew_ms=plan.skew_ms.get(line.name, 0.0)))
                rates = plan.lines.get(line.name, _NO_FAULTS)
                self.faults[line.name] = LineFaults(rates, seed=plan.seed, feed=feed.name, line=line.name)
        except OSError:
            self.close()
            raise
        self._plain = not self._shared.any and not any(faults.rates.any for faults in self.faults.values())

    def plan(self, messages: Sequence[Message], now_ns: int) -> Sends:
        """What goes out on each line, in order, for the feed's next messages."""
        if self._plain and self._truth is None and self._pack == 1:
            self.messages += len(messages)
            self.datagrams += len(messages)
            data = [message.data for message in messages]
            return self._in_turn([(sender, data) for sender in self.senders])
        sends: Sends = [(sender, []) for sender in self.senders]
        for start in range(0, len(messages), self._pack):
            group = messages[start : start + self._pack]
            datagram = b"".join([message.data for message in group])
            self.messages += len(group)
            self.datagrams += 1
            fates = self._plan_datagram(datagram, sends)
            if self._truth is not None:
                for message in group:
                    self._truth.write(message, datagram=self.datagrams, at_ns=now_ns, fates=fates)
        return self._in_turn(sends)

    def plan_heartbeat(self, message: Message, now_ns: int) -> Sends:
        """Outside of the faults, which are by number: heartbeats follow the clock and would move the numbers."""
        if self._truth is not None:
            fates = (SENT, SENT if len(self.senders) > 1 else NO_LINE)
            self._truth.write(message, datagram=0, at_ns=now_ns, fates=fates)
        return [(sender, [message.data]) for sender in self.senders]

    def release(self, now_ns: int) -> None:
        for sender in self.senders:
            sender.release(now_ns)

    def finish(self) -> None:
        """End of the run: what the faults or the skew hold back goes out."""
        for sender in self.senders:
            sender.offer(self.faults[sender.name].flush(), 0)
            sender.flush()

    def close(self) -> None:
        for sender in self.senders:
            sender.close()

    def summary(self) -> dict[str, object]:
        return {
            "messages": self.messages,
            "datagrams": self.datagrams,
            "lines": {
                sender.name: {
                    "sent": sender.sent, "bytes": sender.sent_bytes, "refused": sender.refused,
                    "sent_early": sender.sent_early, **self.faults[sender.name].counts,
                }
                for sender in self.senders
            },
        }  # fmt: skip

    def _in_turn(self, sends: Sends) -> Sends:
        """Now one line comes first, now the other: both win copies."""
        self._turns += 1
        return sends if self._turns % 2 else sends[::-1]

    def _plan_datagram(self, data: bytes, sends: Sends) -> tuple[int, int]:
        if self._plain:
            for _, queue in sends:
                queue.append(data)
            return SENT, SENT if len(sends) > 1 else NO_LINE
        lost_on_both = self._shared.takes(self.datagrams)
        fates = {"A": NO_LINE, "B": NO_LINE}
        for sender, queue in sends:
            fate, copies = self.faults[sender.name].route(data, lost_on_both=lost_on_both)
            fates[sender.name] = fate
            queue += copies
        return fates["A"], fates["B"]
