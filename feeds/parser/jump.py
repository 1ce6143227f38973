"""Goes on behind RAW messages that are lost for good, and says what is known of them.

What they held is not known: only how many messages of which publisher, and how far each stream of the source was. The
ranges up to the first sequence behind them become holes, so that a copy that comes later (the partner of a hot-hot
pair, a publisher that was cut off) is still taken as a late one; the markets become suspect as after a gap.
"""

from __future__ import annotations

from feeds.blocks import Block
from feeds.fix.framing import HEAD
from feeds.krx.streams import UNCHECKED, stream_of
from feeds.parser.context import Context, Seen
from feeds.parser.control import jump_record
from feeds.parser.healing import doubt
from feeds.parser.suspects import SHARED_STREAM
from feeds.parser.turns import Jump


def jumped(context: Context, block: Block, jump: Jump, *, partition: int) -> list[str]:
    """The records that say so; `block` is the one that parsing goes on with. They are numbered here."""
    if block.epoch < context.epoch or not block.entries:
        return []
    if block.epoch > context.epoch:
        context.begin_epoch(block.epoch)
    rx_ns = block.entries[0][0]
    context.suspects.partition = partition
    reached = {f"{market}.{name}": seen.high for (market, name), seen in _streams(context)}
    records = [jump_record(context, rx_ns, jump, reached=reached)]
    for (market, name), number in _first_numbers(block).items():
        seen = context.seen.get((market, name))
        if seen is not None and 0 < seen.high < number - 1:
            seen.holes.add(seen.high + 1, number - 1)
    for (market, name), _seen in _streams(context):
        if name == SHARED_STREAM:
            hole = {"market": market, "stream": name}
            records += doubt(context, hole, rx_ns, late_start=False, partition=partition)
    context.suspects.taken(rx_ns)
    context.next_record += len(records)
    return records


def _streams(context: Context) -> list[tuple[tuple[str, str], Seen]]:
    """A Seen stands under its stream's name and under each message type of it; here once."""
    return [(key, seen) for key, seen in context.seen.items() if stream_of(*key) == key[1]]


def _first_numbers(block: Block) -> dict[tuple[str, str], int]:
    """The first sequence of each (market, stream) in a block."""
    found: dict[tuple[str, str], int] = {}
    for _rx_ns, _line, flags, data in block.entries:
        head = HEAD.match(data) if not flags else None
        if head is None or head[5] is None or head[2].decode() in UNCHECKED or not int(head[3]):
            continue
        market = head[5].decode()
        found.setdefault((market, stream_of(market, head[2].decode())), int(head[3]))
    return found
