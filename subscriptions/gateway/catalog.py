"""Which symbols exist, as the gateway knows it: the database's instruments and whatever records have named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

_NAMED_BY_FORM = re.compile(r"feed:[A-Za-z0-9_.-]{1,40}|board:[A-Z]{3}\.[A-Z0-9]{1,4}|replay:[0-9]{1,18}")


class Catalog:
    """Replaced as a whole when the instruments are read again; `seen` is the hub's own set and grows by itself."""

    def __init__(self, seen: Set[str]) -> None:
        self._seen = seen
        self._markets: dict[str, str] = {}
        self.tickers: dict[str, str] = {}  # by ISIN

    def replace(self, instruments: Mapping[str, tuple[str, str]]) -> None:
        """Take what `load_instruments` gives: ISIN → (ticker, market)."""
        self._markets = dict(instruments.values())
        self.tickers = {isin: ticker for isin, (ticker, _) in instruments.items()}

    def knows(self, symbol: str) -> bool:
        return symbol in self._markets or symbol in self._seen or _NAMED_BY_FORM.fullmatch(symbol) is not None

    def market_of(self, symbol: str) -> str | None:
        return self._markets.get(symbol)

    def __len__(self) -> int:
        return len(self._markets)
