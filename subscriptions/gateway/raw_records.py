"""Makes the records of channel `raw` from the exchange's messages.  [pure]

    {"ch":"raw","s":"FPT","n":7,"ep":"20261120-1.18c2f","rx":…,"q":99120,"m":"STO","bd":"G1","mt":"X","ts":"…","data":"OD1GSVg…"}

`s` is the stream that the parser's records of the message have: the ticker, the index, `board:STO.G1`; a message about
none of these, and one of a type that is not parsed, is its instrument's or its market's (`feed:STO`).
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from feeds.fix.framing import HEAD
from feeds.fix.kinds import ValueRejected, sending_time
from feeds.krx.routers import TABLES
from feeds.krx.symbols import plain, symbol_name

CHANNEL = "raw"
NAMES_KEPT = 16_384  # symbols, boards and types in quotes; past it the one used longest ago is made again
_plain = lru_cache(NAMES_KEPT)(plain)
_ISIN = re.compile(rb"\x0155=([^\x01]+)\x01")
_INDEX = re.compile(rb"\x0130167=([^\x01]+)\x01")
_BOARD = re.compile(rb"\x0120004=([^\x01]+)\x01")
_TICKER = re.compile(rb"\x0130624=([^\x01]+)\x01")


class RawMessage(NamedTuple):
    """What is read of one message beside its bytes; `symbol` and `board` are as they stand inside JSON quotes."""

    symbol: str
    market: str
    board: str
    msg_type: str
    number: int  # MsgSeqNum; 0 is none
    sent: bytes
    data: bytes

    def record(self, number: int, *, epoch: str, origin: str, rx_ns: int) -> bytes:
        """The record's line."""
        job = f',"job":"{origin}"' if origin != "live" else ""
        market = f'"{self.market}"' if self.market else "null"
        board = f'"{self.board}"' if self.board else "null"
        head = (
            f'{{"ch":"{CHANNEL}","s":"{self.symbol}","n":{number},"ep":"{epoch}"{job},"rx":{rx_ns},"q":{self.number},'
            f'"m":{market},"bd":{board},"mt":"{_plain(self.msg_type)}","ts":{_time(self.sent)},"data":"'
        )
        return b'%b%b"}' % (head.encode(), b2a_base64(self.data, newline=False))


def read(data: bytes, tickers: Mapping[str, str], *, feed: str) -> RawMessage | None:
    """None when the bytes are no framed message: those are dead letters and nobody's stream."""
    head = HEAD.match(data)
    if head is None:
        return None
    msg_type, market = head[2].decode("latin-1"), (head[5] or b"").decode()
    board = _text(_BOARD, data)
    symbol = _symbol(data, msg_type, market=market, board=board, tickers=tickers)
    return RawMessage(
        _plain(symbol or f"feed:{market or feed}"), market, _plain(board), msg_type, int(head[3]), head[4], data
    )


def learnt(data: bytes) -> tuple[str, str] | None:
    """The (ISIN, ticker) that a `35=d` says."""
    isin, ticker = _text(_ISIN, data), _text(_TICKER, data)
    return (isin, ticker) if isin and ticker else None


def _symbol(data: bytes, msg_type: str, *, market: str, board: str, tickers: Mapping[str, str]) -> str:
    table = TABLES.get(msg_type)
    rule = table.symbol if table is not None else "isin"
    if rule == "index":
        code = _text(_INDEX, data)
        return symbol_name("index", f"{market}.{code}", tickers) if code and market else ""
    isin = _text(_ISIN, data)
    if isin:
        return symbol_name("isin", isin, tickers)
    return symbol_name("board", f"{market}.{board}", tickers) if rule == "board" and board and market else ""


def _text(pattern: re.Pattern[bytes], data: bytes) -> str:
    found = pattern.search(data)
    return found[1].decode("utf-8", "replace") if found is not None else ""


def _time(sent: bytes) -> str:
    try:
        return sending_time(sent.decode("latin-1"))
    except ValueRejected:
        return "null"
