"""A publisher goes back once for all partitions that have lost the same, and says whom it has answered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from feeds.capture import going_back
from feeds.capture.cursor import Cursor
from feeds.capture.going_back import GoingBack
from feeds.capture.publisher import FeedPublisher
from feeds.capture.raw_stage import RawStage
from feeds.journal import Position
from tests.feeds.data_path import feed_config

PARTITIONS = 2
SEGMENT = "20261120-0001.mdj"


class Publisher:
    """What going back needs of one: ten seconds were published, five RAW messages in each and of each partition."""

    def __init__(self, folder: Path) -> None:
        self.feed = feed_config(partitions=PARTITIONS)
        self.stage = RawStage(self.feed, "live", publisher="a")
        self.back = GoingBack(folder)
        self.back.earlier.begin(0, (":0",) * PARTITIONS, Cursor(Position("", 0), None))
        self.read_to = Position(SEGMENT, 11)
        self.monitor = SimpleNamespace(say=None)
        self.places: list[Position] = []
        for second in range(1, 11):
            self._passed(second * 2_000_000_000, f"a:{second * 5}", second)

    def _passed(self, at_ns: int, reached: str, offset: int) -> None:
        state = self.stage.state()
        self.back.earlier.note(at_ns, (reached,) * PARTITIONS, Cursor(Position(SEGMENT, offset), state))

    def restart_at(self, position: Position, stage: RawStage) -> None:
        self.places.append(position)
        self.read_to, self.stage = position, stage

    def ask(self, partition: int, **chains: int) -> int:
        """A parser's request, and what the publisher does between two reads; its `at`."""
        at_ns = time.time_ns()
        named = {name.replace("_", "."): number for name, number in chains.items()}
        value = {"at": at_ns, "partition": partition, "held": [self.stage.publisher], "chains": named}
        publisher = cast(FeedPublisher, self)
        self.back.asked(publisher, json.dumps(value).encode(), time.time_ns())
        self.back.turn(publisher)
        return at_ns


def test_partitions_that_have_lost_the_same_are_answered_once(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    first = publisher.ask(0, a=40)
    second = publisher.ask(1, a=42)
    assert (publisher.places, publisher.stage.publisher) == ([Position(SEGMENT, 5)], "a.1")
    assert publisher.back.answers == {"0": first, "1": second}


def test_who_has_lost_more_or_has_had_the_answer_is_answered_again(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    publisher.ask(0, a=40)
    publisher.ask(1, a=20)
    assert publisher.places == [Position(SEGMENT, 5), Position(SEGMENT, 1)]
    publisher.ask(1, a=20, a_2=3)
    assert (len(publisher.places), publisher.stage.publisher) == (3, "a.3")


def test_an_answer_that_did_not_arrive_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher(tmp_path)
    publisher.ask(0, a=40)
    monkeypatch.setattr(going_back, "COMING_NS_MAX", 0)
    publisher.ask(0, a=40)
    assert (len(publisher.places), publisher.stage.publisher) == (2, "a.2")


def test_what_is_no_longer_kept_is_not_answered(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    publisher.back.earlier.recent = publisher.back.earlier.recent[5:]
    publisher.ask(0, a=3)
    assert (publisher.places, publisher.back.refused, publisher.back.answers) == ([], 1, {})
