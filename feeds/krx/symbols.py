"""Names the stream of a message: ticker for an ISIN, index name, or board."""

from __future__ import annotations

import json
from collections.abc import Mapping

from feeds.krx.indexes import index_name


def plain(name: str) -> str:
    """A name as it stands inside JSON quotes."""
    return json.dumps(name, ensure_ascii=False)[1:-1]


def symbol_name(rule: str, key: str, tickers: Mapping[str, str]) -> str:
    """The stream's symbol. `key` is the ISIN, or market and code (or board) with a point between; an ISIN that is not
    learnt yet stands for itself."""
    if rule == "index":
        return index_name(*key.split(".", 1))
    if rule == "board":
        return f"board:{key}"
    return tickers.get(key, key)
