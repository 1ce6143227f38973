"""Watches one feed beside its stage: evaluates the states at each look, says changes, notes them for the history.

Nothing here runs per message: the publisher looks ten times a second, and the stage calls only for gaps, resets and
late starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from feeds.capture.feed_state import CLOSED, STATE_AFTER, Facts, event_of
from feeds.capture.line_counts import LineCounts
from feeds.capture.line_state import DISABLED, UP, LineWatch
from feeds.capture.sequencer import Gap
from feeds.config import FeedConfig

LOOK_NS = 100_000_000
STEP_NS_MAX = (
    1_000_000_000  # of a longer pause between looks (a stall, a jump of the clock) only this counts as silence
)
NOTES_MAX = 10_000  # notes that wait for the history; past it the newest are not kept and counted (`notes_dropped`)

Say = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class FeedNote:
    """One row of a feed's history. Ranges include both ends; t0 and t1 are ns around a gap."""

    feed_id: int
    at_ns: int
    kind: str
    state: str = ""
    line: str = ""
    stream: str = ""
    first: int | None = None
    last: int | None = None
    t0_ns: int | None = None
    t1_ns: int | None = None
    epoch: int = 0
    detail: Mapping[str, object] = field(default_factory=dict)


class FeedMonitor:
    """The states of one feed. `say` publishes a status event of the feed to every partition."""

    def __init__(self, feed: FeedConfig, counts: tuple[LineCounts, LineCounts], say: Say) -> None:
        self.counts = counts
        self.say = say
        self.state = CLOSED
        self.phase = ""
        self.epoch = 0
        self.notes: deque[FeedNote] = deque()
        self.notes_dropped = 0
        self.changes: dict[str, int] = {}
        self.disabled = False
        self.suspect_since_ns: int | None = None  # parsers must have healed everything up to here
        self._known = False
        self._said = ("", 0)
        self._gap_ns: int | None = None
        self._looked_ns: int | None = None
        self._expected = False
        self._phase_until_ns = 0
        self._disagreed = [0, 0]
        self.configure(feed)

    def configure(self, feed: FeedConfig) -> None:
        """Take edited settings: limits, calendar, lines. Lines that stay keep their state."""
        self.feed = feed
        self._phase_until_ns = 0
        old = {line.name: line for line in getattr(self, "lines", ())}
        self.lines = [
            LineWatch(one.name, feed.line_silent_ns_max, feed.line_down_ns_max, received=self.counts[at].received)
            for at, one in enumerate(feed.lines)
        ]
        for line in self.lines:
            if line.name in old:
                line.state, line.silence_ns = old[line.name].state, old[line.name].silence_ns

    def look(self, now_ns: int, epoch: int) -> None:
        """Evaluate. `epoch` is the stage's, 0 before its first block: then nothing can be published yet."""
        step = 0 if self._looked_ns is None else min(max(now_ns - self._looked_ns, 0), STEP_NS_MAX)
        self._looked_ns = now_ns
        self.epoch = epoch
        self._look_at_calendar(now_ns)
        self._look_at_lines(now_ns, step)
        self._look_at_disagreements(now_ns)
        age = None if self._gap_ns is None else abs(now_ns - self._gap_ns)
        facts = Facts(self.lines, self.disabled, self._expected, age, self.suspect_since_ns is not None)
        event = event_of(facts)
        if event is None:
            return
        before, self.state = self.state, STATE_AFTER[event]
        if self.state != before or not self._known:
            self._known = True
            self.changes[self.state] = self.changes.get(self.state, 0) + 1
            self._note(FeedNote(self.feed.id, now_ns, "state", state=self.state, detail={"was": before, "by": event}))
        if epoch and self._said != (self.state, epoch):  # a new epoch begins with the state, whoever joins then
            self._said = (self.state, epoch)
            lines: dict[str, object] = {line.name: line.state for line in self.lines}
            self.say({"event": "state", "state": self.state, "was": before, "lines": lines, "phase": self.phase})

    def gap(self, gap: Gap, now_ns: int) -> None:
        """A gap was declared; the stage has published its range."""
        self._gap_ns = now_ns
        self.suspect_since_ns = now_ns
        stream = f"{gap.market}.{gap.stream}"
        where = {"stream": stream, "first": gap.first, "last": gap.last, "t0_ns": gap.t0_ns, "t1_ns": gap.t1_ns}
        self._note(FeedNote(self.feed.id, now_ns, "gap", epoch=self.epoch, **where))  # type: ignore[arg-type]

    def late_start(self, stream: str, first_heard: int, now_ns: int) -> None:
        """A stream was heard first at a number above 1; what came before it is not known."""
        self.suspect_since_ns = now_ns
        self._note(FeedNote(self.feed.id, now_ns, "late_start", stream=stream, first=1, last=first_heard - 1))

    def reset(self, epoch: int, now_ns: int) -> None:
        """An unexplained reset began a new epoch."""
        self.epoch = epoch
        self._note(FeedNote(self.feed.id, now_ns, "reset", epoch=epoch))

    def heal(self, reports: Mapping[int, tuple[int, int]], now_ns: int) -> None:
        """What the parsers say, by partition: (proven up to ns, suspect streams left). All must have caught up."""
        since = self.suspect_since_ns
        if since is None or len(reports) < self.feed.partitions:
            return
        if all(through >= since and left == 0 for through, left in reports.values()):
            self.suspect_since_ns = None
            self._note(FeedNote(self.feed.id, now_ns, "suspect", state="healed"))

    def take_notes(self) -> list[FeedNote]:
        """The notes since the last call."""
        taken: list[FeedNote] = []
        while self.notes:
            taken.append(self.notes.popleft())
        return taken

    def _look_at_calendar(self, now_ns: int) -> None:
        if 0 < now_ns < self._phase_until_ns and self._phase_until_ns - now_ns < 3_600_000_000_000:
            return
        calendar = self.feed.calendar
        self.phase = calendar.phase_at(now_ns)
        expected = calendar.expects_data(now_ns)
        if expected and not self._expected:
            for line in self.lines:  # the market opens now: silence counts from here
                line.silence_ns = 0
        self._expected = expected
        self._phase_until_ns = min(calendar.next_change_ns(now_ns) or now_ns + 1_000_000_000, now_ns + 1_000_000_000)

    def _look_at_lines(self, now_ns: int, step_ns: int) -> None:
        flowing = any(counts.received != line.received for counts, line in zip(self.counts, self.lines, strict=False))
        any_up = any(line.state == UP for line in self.lines)
        if flowing and not any_up:
            for line in self.lines:  # the feed wakes up: the line that is later by a moment is not down for it
                line.silence_ns = 0
        expected = self._expected or any_up
        for counts, line in zip(self.counts, self.lines, strict=False):
            event = line.look(counts.received, step_ns, expected=expected)
            if line.take(DISABLED if self.disabled else event):
                self._note(FeedNote(self.feed.id, now_ns, "line", state=line.state, line=line.name))
                if self.epoch:
                    self.say({"event": "line", "line": line.name, "line_state": line.state})

    def _look_at_disagreements(self, now_ns: int) -> None:
        for at, counts in enumerate(self.counts):
            new = counts.disagreed - self._disagreed[at]
            if new <= 0:
                continue
            self._disagreed[at] = counts.disagreed
            line = "AB"[at]
            self._note(FeedNote(self.feed.id, now_ns, "disagreement", line=line, detail={"count": new}))
            if self.epoch:
                self.say({"event": "disagreement", "line": line, "count": new})

    def _note(self, note: FeedNote) -> None:
        if len(self.notes) >= NOTES_MAX:
            self.notes_dropped += 1
            return
        self.notes.append(note)
