"""Records as a pandas DataFrame (the extra `pandas`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from mdds_client.errors import BadParam
from mdds_client.records import Record

TIMES = ("ts", "start")  # ISO texts that become timestamps


def to_dataframe(records: Iterable[Record]) -> Any:
    """One row for each record, one column for each member by its wire name; times as UTC timestamps, `rx` too.

    The levels of a book stay lists in `b` and `a`; `best_levels` makes columns of them before.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise BadParam('to_dataframe needs pandas: pip install "mdds-client[pandas]"') from None
    frame = pandas.DataFrame([dict(record.data) for record in records])
    for name in TIMES:
        if name in frame:
            frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601")
    if "rx" in frame:
        frame["rx"] = pandas.to_datetime(frame["rx"], utc=True, unit="ns")
    return frame


def best_levels(record: Record, *, levels: int = 5) -> dict[str, Any]:
    """A depth or book record's levels as columns: `bp1 bq1 ap1 aq1 bp2 …`; None where there is no level."""
    row: dict[str, Any] = {name: value for name, value in record.data.items() if name not in ("b", "a")}
    for place in range(levels):
        for side in ("b", "a"):
            found = record.get(side) or ()
            price, quantity = found[place] if place < len(found) else (None, None)
            row[f"{side}p{place + 1}"], row[f"{side}q{place + 1}"] = price, quantity
    return row
