"""Reads an instrument definition back from its record, prices as the text they had on the wire."""

from __future__ import annotations

import json
from collections.abc import Sequence

from feeds.config import InstrumentDefinition


def definitions_of(records: Sequence[str]) -> list[InstrumentDefinition]:
    """The definitions in records of channel `definition` (MsgType d)."""
    found: list[InstrumentDefinition] = []
    for record in records:
        value = json.loads(record, parse_float=str, parse_int=str)
        found.append(
            InstrumentDefinition(
                isin=value["isin"],
                ticker=value.get("ticker") or value["s"],
                market=value["m"],
                board=value["bd"] or "",
                name=value.get("name") or "",
                english_name=value.get("english_name") or "",
                reference=value.get("reference"),
                ceiling=value.get("ceiling"),
                floor=value.get("floor"),
                lot=value.get("lot"),
            )
        )
    return found
