"""The status: one snapshot a second, its boxes, tables and charts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from feeds.models import Feed, WorkerHeartbeat
from portal.history import History, Point
from portal.status import Snapshot, StatusBoard
from tests.portal.conftest import beat

START = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def after_two_beats(*, dead_line: str = "") -> Snapshot:
    """The snapshot after a second in which every total doubled; `dead_line` brought nothing in it."""
    board = StatusBoard()
    beat(at=START)
    board.snapshot(START)
    beat(factor=2, at=START + SECOND)
    if dead_line:
        row = WorkerHeartbeat.objects.get(kind="capture")
        row.stats["datagrams_total"][dead_line] //= 2
        row.save()
    return board.snapshot(START + SECOND)


def test_the_boxes_show_rates_totals_and_losses(feed: Feed) -> None:
    boxes = {box.name: box for box in after_two_beats().boxes}
    assert list(boxes) == ["capture", "journal", "publisher", "raw", "parser", "parsed", "gateway", "clients"]
    assert {name: box.rate for name, box in boxes.items()} == {
        "capture": "1,990/s", "journal": "400 KB/s", "publisher": "1,000/s", "raw": "50/s", "parser": "1,000/s",
        "parsed": "1,400/s", "gateway": "2,800/s", "clients": "1",
    }  # fmt: skip
    assert ("missing", "14", True) in boxes["publisher"].facts
    assert ("kernel drops", "0", False) in boxes["capture"].facts
    assert ("p99", "2.50 ms", False) in boxes["parsed"].facts
    assert {box.light for box in boxes.values()} == {"green"}


def test_types_drops_and_sessions(feed: Feed) -> None:
    status = after_two_beats()
    assert [(row.label, row.total, row.rate, row.percent) for row in status.types] == [
        ("X", "1,600", "800/s", 100.0),
        ("M1", "400", "200/s", 25.0),
    ]
    assert [(row.stage, row.reason, row.total, row.current) for row in status.drops] == [
        ("publisher", "missing on both lines", "14", True),
        ("parser", "dead letter: CHECKSUM", "6", True),
    ]
    (session,) = status.sessions
    assert (session.subscriber, session.key, session.address) == ("acme", "k3x9TTab", "203.0.113.14")
    assert (session.subscriptions, session.records, session.queued) == ("trade FPT, VNM", "2,800", "512 B")


@pytest.mark.parametrize(
    ("dead_line", "light", "state", "lines"),
    [("", "green", "live", ["green", "green"]), ("STO.B", "amber", "line B is silent", ["green", "amber"])],
)
def test_a_feed_says_what_is_wrong_with_it(
    feed: Feed, dead_line: str, light: str, state: str, lines: list[str]
) -> None:
    (row,) = after_two_beats(dead_line=dead_line).feeds
    assert (row.light, row.state, [line.light for line in row.lines]) == (light, state, lines)


def test_a_feed_without_capture_is_red_and_a_disabled_one_grey(feed: Feed) -> None:
    assert StatusBoard().snapshot(START).feeds[0].state == "no capture runs"
    Feed.objects.update(enabled=False)
    (row,) = StatusBoard().snapshot(START).feeds
    assert (row.light, row.state) == ("grey", "disabled")


def test_a_silent_worker_turns_red_and_has_no_rate(feed: Feed) -> None:
    board = StatusBoard()
    for second in range(2):
        beat(factor=second + 1, at=START + second * SECOND)
        board.snapshot(START + second * SECOND)
    status = board.snapshot(START + 20 * SECOND)
    assert status.light == "red"
    assert {box.rate for box in status.boxes if box.name == "parser"} == {"0/s"}


def test_a_worker_of_an_unknown_kind_is_shown_with_all_its_numbers(feed: Feed) -> None:
    WorkerHeartbeat.objects.create(
        kind="delivery", name="acme", host="core-2", pid=5, started_at=START, seen_at=START,
        stats={"queue": {"depth": 12}, "breaker": "open", "sent": 3},
    )  # fmt: skip
    (row,) = StatusBoard().snapshot(START).workers
    assert (row.kind, row.light, row.stats) == ("delivery", "green", (("queue.depth", "12"), ("sent", "3")))


def test_however_many_look_the_database_is_asked_once_a_second(feed: Feed) -> None:
    beat(at=START)
    board = StatusBoard()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for millisecond in range(0, 800, 100):
            board.frame(START + timedelta(milliseconds=millisecond))
            board.snapshot(START + timedelta(milliseconds=millisecond))
    assert len(queries) == 3  # heartbeats, feeds, lines


def test_the_history_survives_a_reload(feed: Feed) -> None:
    board = StatusBoard()
    for second in range(4):
        beat(factor=second + 1, at=START + second * SECOND)
        board.snapshot(START + second * SECOND)
    points = json.loads(board.history(START + 3 * SECOND))["points"]
    began = int(START.timestamp())
    assert points == [[began + second, 1990.0, 1000.0, 2800.0, 2.5] for second in (1, 2, 3)]


def test_the_history_holds_fifteen_minutes_one_point_a_second() -> None:
    history = History()
    for second in range(2000):
        history.add(Point(second, 1.0, 1.0, 1.0, None))
        history.add(Point(second, 9.0, 9.0, 9.0, None))
    rows = history.rows(1999)
    assert [rows[0][0], rows[-1][0], len(rows)] == [1100, 1999, 900]
    assert {row[1] for row in rows} == {1.0}
    assert history.rows(2399)[0][0] == 1500


def test_the_page_shows_it_all_without_the_live_channel(feed: Feed, log_in: Callable[[str], Client]) -> None:
    beat()
    page = log_in("bob").get("/portal/")
    text = page.content.decode()
    for part in ("Path of a message", "acme", "203.0.113.14", "dead letter", "STO.A", "2.50 ms", "publisher"):
        assert part in text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_an_empty_system_says_what_to_do(db: None, log_in: Callable[[str], Client]) -> None:
    text = log_in("bob").get("/portal/").content.decode()
    for part in ("No feed is configured", "No client is connected", "No worker has reported", "Nothing parsed yet"):
        assert part in text
