"""States of lines and feed as transcripts: what happens, and every change that is said."""

from __future__ import annotations

from datetime import UTC, datetime

from feeds.capture.feed_monitor import LOOK_NS, FeedMonitor
from feeds.capture.feed_state import STATE_AFTER, STATES
from feeds.capture.line_counts import LineCounts
from feeds.capture.line_state import STATES as LINE_STATES
from feeds.capture.line_state import TABLE as LINE_TABLE
from feeds.capture.sequencer import Gap
from feeds.config import FeedConfig, LineConfig
from feeds.krx.calendar import TradingCalendar, TradingPhase

S = 1_000_000_000
OPEN_NS = int(datetime(2026, 11, 20, 2, 15, tzinfo=UTC).timestamp()) * S  # 09:15 in Vietnam, a Friday
HOURS = TradingCalendar(
    (
        TradingPhase("STO", 4, 9 * 3600 + 900, 11 * 3600 + 1800, "continuous", True),
        TradingPhase("STO", 4, 11 * 3600 + 1800, 13 * 3600, "lunch", False),
        TradingPhase("STO", 4, 13 * 3600, 15 * 3600, "continuous", True),
    )
)
LINES = (LineConfig("A", "127.0.0.1", 9001), LineConfig("B", "127.0.0.1", 9002))


class Watched:
    """A monitored feed. `run(seconds, "AB")`: these lines bring something at each look."""

    def __init__(self, *, start_ns: int = OPEN_NS, calendar: TradingCalendar = HOURS) -> None:
        self.feed = FeedConfig(
            id=7, name="STO", exchange="KRX", markets=("STO",), lines=LINES, partitions=2, calendar=calendar
        )
        self.counts = (LineCounts(), LineCounts())
        self.said: list[dict[str, object]] = []
        self.monitor = FeedMonitor(self.feed, self.counts, self.said.append)
        self.now_ns = start_ns
        self.epoch = 1

    def run(self, seconds: float, lines: str = "") -> list[str]:
        """The changes of these seconds, as words."""
        for _ in range(int(seconds * S / LOOK_NS)):
            for line in lines:
                self.counts["AB".index(line)].received += 1
            self.now_ns += LOOK_NS
            self.monitor.look(self.now_ns, self.epoch)
        return self.words()

    def words(self) -> list[str]:
        said, self.said[:] = list(self.said), []
        return [_word(one) for one in said]

    def gap(self) -> None:
        self.monitor.gap(Gap("STO", "market", 5, 9, self.now_ns - S, self.now_ns), self.now_ns)

    def parsers_say(self, *left: int) -> None:
        self.monitor.heal({n: (self.now_ns, count) for n, count in enumerate(left)}, self.now_ns)


def _word(said: dict[str, object]) -> str:
    match said["event"]:
        case "line":
            return f"{said['line']} {said['line_state']}"
        case "disagreement":
            return f"{said['line']} disagrees {said['count']}"
    return str(said["state"])


def test_both_lines_flow() -> None:
    feed = Watched()
    assert feed.run(10, "AB") == ["A up", "B up", "live"]
    assert feed.said == []


def test_a_line_dies_and_comes_back() -> None:
    """F22."""
    feed = Watched()
    feed.run(5, "AB")
    assert feed.run(2.9, "A") == []
    assert feed.run(0.2, "A") == ["B silent", "failover"]
    assert feed.run(7, "A") == ["B down"]
    assert feed.run(60, "A") == []
    assert feed.run(0.1, "AB") == ["B up", "live"]


def test_both_silent_inside_trading_hours_is_stale() -> None:
    """F23."""
    feed = Watched()
    feed.run(5, "AB")
    assert feed.run(3, "") == ["A silent", "B silent", "stale"]
    assert feed.run(10, "") == ["A down", "B down"]
    assert feed.run(1, "AB") == ["A up", "B up", "live"]


def test_both_silent_outside_trading_hours_is_closed() -> None:
    feed = Watched(start_ns=OPEN_NS + 8 * 3600 * S)
    assert feed.run(2, "AB") == ["A up", "B up", "live"]  # data is data, whatever the calendar says
    assert feed.run(60) == ["A silent", "B silent", "closed"]


def test_lunch_and_the_opening_after_it() -> None:
    """Silent lines are no trouble at lunch; at 13:00 the lines have their time to speak before the feed is stale."""
    feed = Watched(start_ns=OPEN_NS + (3 * 3600 + 2700 - 10) * S)  # 12:59:50
    assert feed.run(5) == ["closed"]
    assert feed.run(7.5) == []
    assert feed.run(1) == ["stale"]
    assert feed.run(1, "A") == ["A up", "live"]
    assert feed.run(2.5, "A") == ["failover"]


def test_a_line_that_is_later_by_a_moment_is_not_down() -> None:
    feed = Watched()
    feed.run(20)
    feed.words()
    assert feed.run(0.2, "A") == ["A up", "live"]
    assert feed.run(0.2, "AB") == ["B up"]


def test_gap_suspect_live() -> None:
    """F19."""
    feed = Watched()
    feed.run(5, "AB")
    feed.gap()
    assert feed.run(0.9, "AB") == ["gap"]
    assert feed.run(5, "AB") == ["suspect"]
    feed.parsers_say(0, 3)
    assert feed.run(1, "AB") == []
    feed.parsers_say(0)  # one partition has not said anything
    assert feed.run(1, "AB") == []
    feed.parsers_say(0, 0)
    assert feed.run(1, "AB") == ["live"]


def test_what_parsers_said_before_the_gap_heals_nothing() -> None:
    feed = Watched()
    feed.run(5, "AB")
    old = feed.now_ns
    feed.run(1, "AB")
    feed.gap()
    feed.monitor.heal({0: (old, 0), 1: (feed.now_ns, 0)}, feed.now_ns)
    assert feed.run(5, "AB") == ["gap", "suspect"]


def test_a_storm_of_gaps_is_one_state() -> None:
    feed = Watched()
    feed.run(5, "AB")
    words = []
    for _ in range(20):
        feed.gap()
        words += feed.run(0.3, "AB")
    assert words == ["gap"]
    assert len([note for note in feed.monitor.take_notes() if note.kind == "gap"]) == 20


def test_suspect_goes_before_failover_and_comes_back_to_it() -> None:
    feed = Watched()
    feed.run(5, "AB")
    feed.run(5, "A")
    feed.gap()
    assert feed.run(3, "A") == ["gap", "suspect"]
    feed.parsers_say(0, 0)
    assert feed.run(1, "A") == ["failover"]


def test_a_stale_feed_is_suspect_again_when_it_was() -> None:
    feed = Watched()
    feed.run(5, "AB")
    feed.gap()
    feed.run(3, "AB")
    assert feed.run(5) == ["A silent", "B silent", "stale"]
    assert feed.run(1, "AB") == ["A up", "B up", "suspect"]


def test_a_late_start_is_suspect_until_the_parsers_know() -> None:
    feed = Watched()
    feed.monitor.late_start("STO.market", 501, feed.now_ns)
    assert feed.run(5, "AB") == ["A up", "B up", "suspect"]
    feed.parsers_say(0, 0)
    assert feed.run(1, "AB") == ["live"]
    (note,) = [note for note in feed.monitor.take_notes() if note.kind == "late_start"]
    assert (note.stream, note.first, note.last) == ("STO.market", 1, 500)


def test_an_operator_disables_and_enables() -> None:
    feed = Watched()
    feed.run(5, "AB")
    feed.monitor.disabled = True
    assert feed.run(2, "AB") == ["A down", "B down", "closed"]
    feed.monitor.disabled = False
    assert feed.run(2, "AB") == ["A up", "B up", "live"]


def test_lines_that_disagree_are_said_and_noted() -> None:
    """F24, I13."""
    feed = Watched()
    feed.run(1, "AB")
    feed.monitor.take_notes()
    feed.counts[1].disagreed += 3
    assert feed.run(1, "AB") == ["B disagrees 3"]
    assert [(n.kind, n.line, n.detail) for n in feed.monitor.take_notes()] == [("disagreement", "B", {"count": 3})]


def test_a_jump_of_the_clock_is_no_silence() -> None:
    """F28: forward by an hour, back by two."""
    feed = Watched()
    feed.run(5, "AB")
    feed.now_ns += 1800 * S
    assert feed.run(0.1, "") == []
    assert feed.run(5, "AB") == []
    feed.now_ns -= 1200 * S
    assert feed.run(5, "AB") == []


def test_a_stalled_publisher_is_no_silent_line() -> None:
    """F02: nothing was looked at for half a minute; the journal then brings what came meanwhile."""
    feed = Watched()
    feed.run(5, "AB")
    feed.now_ns += 30 * S
    assert feed.run(5, "AB") == []


def test_nothing_is_published_before_the_first_block() -> None:
    feed = Watched()
    feed.epoch = 0
    assert feed.run(30) == []
    assert feed.monitor.state == "stale"
    feed.epoch = 1
    assert feed.run(0.1, "AB") == ["A up", "B up", "live"]


def test_a_new_epoch_begins_with_the_state() -> None:
    """F27."""
    feed = Watched()
    feed.run(5, "AB")
    feed.epoch = 101
    assert feed.run(2, "AB") == ["live"]


def test_edited_settings_hold_at_once_and_keep_the_states() -> None:
    feed = Watched()
    feed.run(5, "AB")
    changed = FeedConfig(
        id=7, name="STO", exchange="KRX", markets=("STO",), lines=LINES, line_silent_ns_max=S, partitions=2
    )
    feed.monitor.configure(changed)
    assert feed.run(0.9, "A") == []
    assert feed.run(0.2, "A") == ["B silent", "failover"]


def test_history_follows_every_change() -> None:
    """I13: what was said is noted, with when and why."""
    feed = Watched()
    feed.run(5, "AB")
    feed.run(5, "")
    notes = [(note.kind, note.line or note.state, note.state, note.detail) for note in feed.monitor.take_notes()]
    assert notes == [
        ("line", "A", "up", {}),
        ("line", "B", "up", {}),
        ("state", "live", "live", {"was": "closed", "by": "all_lines"}),
        ("line", "A", "silent", {}),
        ("line", "B", "silent", {}),
        ("state", "stale", "stale", {"was": "live", "by": "silence"}),
    ]


def test_notes_are_bounded_and_what_is_dropped_is_counted() -> None:
    feed = Watched()
    for _ in range(10_005):
        feed.gap()
    assert (len(feed.monitor.take_notes()), feed.monitor.notes_dropped) == (10_000, 5)


def test_tables_name_known_states_only() -> None:
    assert set(STATE_AFTER.values()) == set(STATES)
    assert set(LINE_TABLE.values()) == set(LINE_STATES)
    assert len(LINE_TABLE) == len(LINE_STATES) * 4
