"""Every routed type becomes exactly the records of golden_records.txt, by the general path and by a layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feeds.krx.routers import TABLES
from tests.feeds.data_path import DataPath
from tests.feeds.golden_messages import FIRST, SECOND, by_type

NAMES = list(by_type(1, FIRST))
OTHER_SHAPE = {"M7"}  # the second message has no ceiling, which is another layout


def golden() -> dict[str, list[str]]:
    """Lines under each `# name`."""
    text = (Path(__file__).parent / "golden_records.txt").read_text()
    parts = [part.splitlines() for part in text.split("# ")[1:]]
    return {name: records for name, *records in parts}


def test_all_thirteen_types_are_here() -> None:
    assert {name.split()[0] for name in NAMES} == set(TABLES)
    assert list(golden()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_records(name: str) -> None:
    path = DataPath(partitions=1)
    path.arrive(by_type(1, FIRST)[name], by_type(2, SECOND)[name])
    path.finish()
    assert (path.records, path.dead) == (golden()[name], [])
    assert path.translator.by_general == (2 if name in OTHER_SHAPE else 1)
    assert path.counts.parsed == {name.split()[0]: 2}


@pytest.mark.parametrize("name", NAMES)
def test_the_leading_members_stand_in_order(name: str) -> None:
    lead = ["ch", "s", "n", "ep", "rx", "q", "m", "bd", "mt", "ts"]
    assert [list(json.loads(record))[:10] for record in golden()[name]] == [lead] * len(golden()[name])
