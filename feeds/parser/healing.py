"""Finds the stream of a record that the table of proven streams does not hold: a new one, or a suspect one.

Here a gap's consequences become records: what is suspect, trades that are missing from the tape, what is proven again.
"""

from __future__ import annotations

from collections.abc import Mapping

from feeds.parser.context import Context, Stream
from feeds.parser.control import healed_record, suspect_record, tape_record
from feeds.parser.suspects import BOOK, CHANNELS, SHARED_STREAM, Source

Out = tuple[int, list[str]]  # rx_ns of the message, and where records go


def absent_stream(context: Context, channel: str, key: str, *, symbol: str, source: Source, out: Out) -> Stream:
    """The stream of `key` in `channel`, which is not among the proven ones. Records of what this proves go before."""
    if channel != BOOK:
        return _absent(context, channel, key, symbol=symbol, source=source, out=out)
    stream = context.streams.get(BOOK, {}).get(key)  # known, and new on this board
    if stream is None:
        stream = _absent(context, channel, key, symbol=symbol, source=source, out=out)
    if context.suspects.is_proven(key, source.board):
        context.boards.setdefault(source.board, {})[key] = stream
    return stream


def _absent(context: Context, channel: str, key: str, *, symbol: str, source: Source, out: Out) -> Stream:
    suspects, (rx_ns, records) = context.suspects, out
    if not suspects.gapped and not suspects.doubts:
        return _made(context, channel, key, symbol=symbol, market=source.market)
    lost = suspects.lost(channel, key, source, figures=context.figures)
    if lost is not None:
        records.append(tape_record(context, rx_ns, lost, stream=(key, symbol)))
    stream = suspects.take(channel, key, source, streams=context.streams)
    if stream is None:
        stream = _made(context, channel, key, symbol=symbol, market=source.market)
        suspects.adopt(channel, key, source, streams=context.streams)
    for healed in suspects.settled(context.streams):
        records.append(healed_record(context, rx_ns, healed))
    return stream


def doubt(context: Context, hole: Mapping[str, object], rx_ns: int, *, late_start: bool, partition: int) -> list[str]:
    """A gap or a late start of the stream that `hole` names: the records that say what is suspect now."""
    suspects, market = context.suspects, str(hole["market"])
    if hole["stream"] != SHARED_STREAM:
        return []  # its images come again by themselves, and no book or tape depends on it
    suspects.partition = partition
    tables = (context.streams, context.markets, context.figures, context.boards)
    count = suspects.doubt(market, rx_ns, tables, late_start=late_start)
    said = []
    if count or late_start:
        said = [suspect_record(context, rx_ns, market, cause=("gap", "late_start")[late_start], streams=count)]
    suspects.settled(context.streams)  # nothing here to be suspect of: no more is said
    return said


def _made(context: Context, channel: str, key: str, *, symbol: str, market: str) -> Stream:
    if market and channel in CHANNELS:
        context.markets[key] = market
    return context.stream(channel, key, symbol)
