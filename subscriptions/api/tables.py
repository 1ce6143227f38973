"""Records as rows of a table, for CSV and Parquet: one column a member, one pair of columns a price level."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

LEVELS = 10
_HEAD = ("s", "ep", "rx", "q", "m", "bd", "mt", "ts")
_LADDER = tuple(f"{side}{member}{level}" for level in range(1, LEVELS + 1) for side in "ba" for member in "pq")
COLUMNS = {
    "trade": (*_HEAD, "ses", "tx", "p", "v", "vol", "val"),
    "bar": (*_HEAD, "start", "o", "h", "l", "c", "v", "trades", "val", "closed"),
    "depth": (*_HEAD, "ses", "tx", *_LADDER, "tb", "ta", "cb", "ca"),
}


def rows_of(lines: Sequence[bytes], *, exact: bool) -> list[dict[str, object]]:
    """A row per record. `exact` keeps every number as its text; else they are int and float."""
    rows = []
    for line in lines:
        record = json.loads(line, parse_float=str, parse_int=str) if exact else json.loads(line)
        for side in "ba":
            for level, (price, quantity) in enumerate(record.pop(side, None) or (), 1):
                record[f"{side}p{level}"], record[f"{side}q{level}"] = price, quantity
        rows.append(record)
    return rows


def csv_text(lines: Sequence[bytes], channel: str) -> str:
    """With a header line; numbers exactly as on the wire, nothing where a member is null or absent."""
    out = io.StringIO()
    columns = COLUMNS[channel]
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows_of(lines, exact=True):
        writer.writerow([_cell(row.get(name)) for name in columns])
    return out.getvalue()


def _cell(value: object) -> object:
    """Booleans as JSON has them; a text that a spreadsheet would take for a formula is quoted by an apostrophe."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value[:1] in ("=", "+", "@"):
        return f"'{value}"
    return value
