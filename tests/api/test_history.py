"""Histories equal what the whole parser makes of the journal, whatever the pages; and in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from subscriptions.api import bar_history, history, journal_history
from tests.api import recorded
from tests.api.conftest import Served
from tests.api.recorded import NS, START_NS

START = "2026-11-20T02:15:00Z"
END = "2026-11-20T02:20:00Z"


@pytest.fixture(scope="session")
def reference(session_journal: Path) -> list[dict[str, Any]]:
    return recorded.parsed(session_journal / "journal" / "STO", 1)


@pytest.fixture(scope="session")
def symbol(reference: list[dict[str, Any]]) -> str:
    """The symbol with the most trades."""
    trades = [row["s"] for row in reference if row["ch"] == "trade"]
    return max(set(trades), key=trades.count)


def of(reference: list[dict[str, Any]], channel: str, symbol: str) -> list[dict[str, Any]]:
    """The stream as a history gives it: by receive time, without numbers."""
    rows = [
        {k: v for k, v in row.items() if k != "n"} for row in reference if (row["ch"], row["s"]) == (channel, symbol)
    ]
    return sorted(rows, key=lambda row: row["rx"])


def pages(
    served: Served, channel: str, *, most: int | None = None, **query: object
) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, object] = {}
    for count in range(1, 400):
        page = served.json(f"history/{channel}", **query, **cursor)
        assert len(page["records"]) <= (most or int(str(query.get("limit", 1_000))))
        found += page["records"]
        if page["next"] is None:
            return found, count
        cursor = {"cursor": page["next"]}
    raise AssertionError("the cursors never end")


@pytest.mark.parametrize(("channel", "limit"), [("trade", 10_000), ("trade", 90), ("depth", 500)])
def test_a_history_is_the_stream(
    remembering: Served, reference: list[dict[str, Any]], symbol: str, *, channel: str, limit: int
) -> None:
    expected = of(reference, channel, symbol)
    found, count = pages(remembering, channel, symbol=symbol, start=START, end=END, limit=limit)
    assert len(expected) > 50
    assert found == expected
    assert count >= len(expected) // limit


def test_a_part_of_the_range(remembering: Served, reference: list[dict[str, Any]], symbol: str) -> None:
    found, _ = pages(
        remembering, "trade", symbol=symbol, start="2026-11-20T02:15:40Z", end="2026-11-20T02:16:20.500Z", limit=50
    )
    low, high = START_NS + 40 * NS, START_NS + 80 * NS + NS // 2
    assert found == [row for row in of(reference, "trade", symbol) if low <= row["rx"] < high]


def test_a_page_may_be_short_and_the_cursor_goes_on(
    remembering: Served, reference: list[dict[str, Any]], symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_history, "SCAN_BYTES_MAX", 1)
    found, count = pages(remembering, "trade", symbol=symbol, start=START, end=END, limit=10_000)
    assert found == of(reference, "trade", symbol)
    assert count > 3


@pytest.mark.parametrize(("trades_max", "limit"), [(20_000, 100), (60, 100), (20_000, 1), (60, 2)])
def test_bars_are_the_minutes_of_the_trades(
    remembering: Served,
    reference: list[dict[str, Any]],
    symbol: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trades_max: int,
    limit: int,
) -> None:
    monkeypatch.setattr(bar_history, "TRADES_MAX", trades_max)
    found, _ = pages(remembering, "bar", most=max(limit, 3), symbol=symbol, start=START, end=END, limit=limit)
    minutes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in of(reference, "trade", symbol):
        minutes.setdefault((row["bd"], row["ts"][:16]), []).append(row)
    assert len({(bar["bd"], bar["start"]) for bar in found}) == len(found)
    assert {(bar["bd"], bar["start"][:16]): (bar["trades"], bar["o"], bar["c"], bar["v"]) for bar in found} == {
        key: (len(rows), rows[0]["p"], rows[-1]["p"], sum(row["v"] for row in rows)) for key, rows in minutes.items()
    }
    assert all(bar["closed"] for bar in found[:-2])


def test_csv_has_the_numbers_as_they_were_on_the_wire(
    remembering: Served, reference: list[dict[str, Any]], symbol: str
) -> None:
    response = remembering.get("history/trade", symbol=symbol, start=START, end=END, limit=5, format="csv")
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    expected = of(reference, "trade", symbol)[:5]
    assert [(row["s"], int(row["rx"]), float(row["p"])) for row in rows] == [
        (row["s"], row["rx"], row["p"]) for row in expected
    ]
    following = remembering.json("history/trade", symbol=symbol, start=START, end=END, limit=5)
    assert response["X-Next-Cursor"] == following["next"]
    wire = remembering.get("history/trade", symbol=symbol, start=START, end=END, limit=5).content.decode()
    assert all(f'"p":{row["p"]},' in wire for row in rows)


def test_parquet_reads_back(remembering: Served, reference: list[dict[str, Any]], symbol: str) -> None:
    response = remembering.get("history/depth", symbol=symbol, start=START, end=END, limit=50, format="parquet")
    table = pq.read_table(io.BytesIO(response.content)).to_pylist()
    expected = of(reference, "depth", symbol)[:50]
    assert [(row["rx"], row["bp1"], row["aq1"]) for row in table] == [
        (row["rx"], *(row["b"][0][:1] if row["b"] else [None]), row["a"][0][1] if row["a"] else None)
        for row in expected
    ]


def test_delayed_rights_end_their_delay_ago(remembering: Served, reference: list[dict[str, Any]], symbol: str) -> None:
    remembering.now_ns = START_NS + 150 * NS
    answer = remembering.json("history/trade", "della", symbol=symbol, start=START, limit=10_000)
    assert (answer["granted"]["timeliness"], answer["granted"]["delay_s"]) == ("delayed", 60)
    expected = [row for row in of(reference, "trade", symbol) if row["rx"] < START_NS + 90 * NS]
    assert answer["records"] == expected
    assert remembering.refusal("history/trade", "della", symbol=symbol, start=START, timeliness="realtime") == (
        403,
        "DELAYED_ONLY",
    )


def test_refusals(remembering: Served, symbol: str) -> None:
    refusal = remembering.refusal
    assert refusal("history/trade", symbol="NOPE", start=START) == (403, "NOT_ENTITLED")
    assert refusal("history/trade", "bob", symbol=symbol, start=START) == (403, "NOT_ENTITLED")
    assert refusal("history/trade", None, symbol=symbol, start=START) == (401, "AUTH_REQUIRED")
    assert refusal("history/stats", symbol=symbol, start=START) == (422, "BAD_PARAM")
    assert refusal("history/trade", symbol=symbol, start=END, end=START) == (422, "BAD_PARAM")
    assert refusal("history/trade", symbol=symbol, start="2026-11-18T00:00:00Z", end=END) == (422, "BAD_PARAM")
    assert refusal("history/trade", symbol=symbol, start=START, cursor="bm9uc2Vuc2U") == (422, "BAD_PARAM")
    assert refusal("history/trade", symbol=symbol, start=START, limit=history.ROWS_MAX["trade"] + 1)[0] == 422
    assert refusal("history/trade", symbol=symbol) == (422, "BAD_PARAM")


def test_as_many_as_may_be_are_being_read(remembering: Served, symbol: str) -> None:
    taken = [journal_history._slots.acquire(blocking=False) for _ in range(journal_history.AT_ONCE_MAX)]
    try:
        response = remembering.get("history/trade", symbol=symbol, start=START)
        assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "OVERLOADED", "1")
    finally:
        for _ in taken:
            journal_history._slots.release()
    assert json.loads(remembering.get("history/trade", symbol=symbol, start=START).content)["records"]
