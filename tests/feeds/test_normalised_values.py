"""Values in an odd but sound spelling leave as valid JSON; the digits are not touched."""

from __future__ import annotations

import json
import re

import pytest

from tests.feeds.data_path import DataPath
from tests.feeds.wire import edited, expected, message

SPELLINGS = {
    "98700.0": "98700.0",
    "+200.00": "200.00",
    "007": "7",
    "0098.50": "98.50",
    ".5": "0.5",
    "5.": "5",
    "-.25": "-0.25",
    "-12.5": "-12.5",
    "00": "0",
    "0": "0",
    "999999999999999999.999999999": "999999999999999999.999999999",
}
TEXTS = [
    "plain",
    'qu"ote',
    "back\\slash",
    "tab\there",
    "nul\x00",
    "line\nfeed",
    "Công ty Cổ phần",
    "a=b=c",
    "%s %d %%",
    "\x7f",
    "𝄞",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("path_taken", ["general", "layout"])
def test_a_number(spelling: str, path_taken: str) -> None:
    path = DataPath()
    if path_taken == "layout":  # a plain message of the same shape came before
        path.arrive(expected(1, price="1.0"))
    path.arrive(expected(2, price=spelling))
    path.finish()
    record = path.records[-1]
    json.loads(record)
    assert (re.findall(r'"p":([^,]*),', record), path.dead) == ([SPELLINGS[spelling]], [])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_text(text: str, times: int) -> None:
    """In a member and in the symbol, by the general path and (the second time) by a layout where it is plain."""
    path = DataPath()
    for n in range(times):
        body = [(30001, "STO"), (20004, "G1"), (20005, text), (55, text), (336, text)]
        path.arrive(message("f", n + 1, *body))
    path.finish()
    rows = [json.loads(record) for record in path.records]
    assert [(row["n"], row["s"], row["event"], row["ses"]) for row in rows] == [
        (n + 1, text, text, text) for n in range(times)
    ]


@pytest.mark.parametrize("limit", ["999999999.0", "-999999999.0", "0.0", "+0.0", "00.0", ""])
def test_no_limit_is_null(limit: str) -> None:
    path = DataPath()
    body = [(30001, "DVX"), (20004, "G1"), (55, "VN41I1F60005"), (60, "021500120"), (1149, "1250.5"), (1148, limit)]
    path.arrive(message("M7", 1, *body[:3], *body[4:]), message("M7", 2, *body[:3], *body[4:]))
    path.finish()
    assert [json.loads(record)["floor"] for record in path.records] == [None, None]


def test_a_leap_second_passes() -> None:
    path = DataPath()
    for n, sent in enumerate(("20261120 02:15:00.123", "20161231 23:59:60.000", "20261120-02:15:00"), start=1):
        path.arrive(edited(expected(n), b"52=20261120 02:15:00.123", f"52={sent}".encode()))
    path.finish()
    assert [json.loads(record)["ts"] for record in path.records] == [
        "2026-11-20T02:15:00.123Z",
        "2016-12-31T23:59:60.000Z",
        "2026-11-20T02:15:00.000Z",
    ]


def test_a_board_where_the_type_has_none() -> None:
    """The table of M1 has no BoardID; one that is there is said, and an empty one is none, by either path."""
    path = DataPath(partitions=1)
    for sequence, board in enumerate(("", "G1", "G1", "", "G4"), start=1):
        body = ((30001, "STO"), (30167, "001"), (30217, "1.0"), (20004, board))
        path.arrive(message("M1", sequence, *body))
    path.finish()
    assert [json.loads(record)["bd"] for record in path.records] == [None, "G1", "G1", None, "G4"]
    assert path.dead == []
