"""Writes rows of records as Parquet: one door to pyarrow."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def parquet_bytes(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> bytes:
    """The rows as one Parquet file with `columns`; a nested value (a ladder) is kept as its JSON text."""
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in columns})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _column(values: list[object]) -> pa.Array:
    """Integers and texts as they are; a column with any fraction as doubles, with any nesting as JSON texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds & {list, dict}:
        return pa.array([None if value is None else json.dumps(value, separators=(",", ":")) for value in values])
    if kinds == {int, float}:
        return pa.array([None if value is None else float(str(value)) for value in values], type=pa.float64())
    if len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values], type=pa.string())
    return pa.array(values)
