"""Records of our own in the channel `status`: gaps, feed states, the end of a replay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feeds.parser.context import Context
from feeds.parser.suspects import Healed, Lost

if TYPE_CHECKING:
    from feeds.parser.turns import Jump

# The retained value with the last state record of every live feed, by name: `{"KRX": "{\"ch\":\"status\",…"}`. The
# partition that makes these records (pipeline.OWN_PARTITION) writes it.
STATES_KEY = "feed_states"


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 1_000_000_000 // 1_000_000:03d}Z"


def _record(context: Context, symbol: str, market: str | None, rx_ns: int, own: dict[str, object]) -> str:
    stream = context.stream("status", symbol, symbol)
    stream.n += 1
    kind = own.pop("mt")
    lead = {"q": None, "m": market, "bd": None, "mt": kind, "ts": _iso(rx_ns), **own}
    members = json.dumps(lead, separators=(",", ":"))[1:]
    return f"{stream.head}{stream.n}{context.mid}{rx_ns},{members}"


def gap_record(context: Context, rx_ns: int, gap: dict[str, object]) -> str:
    """A range that neither line brought, with the receive times around it (ns)."""
    market = str(gap["market"])
    first, last = int(str(gap["from"])), int(str(gap["to"]))
    own: dict[str, object] = {
        "mt": "gap",
        "event": "gap",
        "stream": f"{market}.{gap['stream']}",
        "from": first,
        "to": last,
        "count": last - first + 1,
        "t0": gap["t0"],
        "t1": gap["t1"],
    }
    return _record(context, f"feed:{context.feed}", market, rx_ns, own)


def state_record(context: Context, rx_ns: int, state: dict[str, object]) -> str:
    """What the publisher says of the feed: a change of its state or of a line's, copies that disagree, a late start."""
    if state.get("event") == "late_start":
        return _late_start(context, rx_ns, state)
    own = {"mt": "feed", "event": "state", **state}
    record = _record(context, f"feed:{context.feed}", None, rx_ns, own)
    if state.get("event", "state") == "state":
        context.feed_state = record
    return record


def _late_start(context: Context, rx_ns: int, start: dict[str, object]) -> str:
    """Sequences from..to may have been sent before a stream's first message was heard: no gap that can be proven."""
    market = str(start["market"])
    first, last = int(str(start["from"])), int(str(start["to"]))
    own: dict[str, object] = {
        "mt": "feed",
        "event": "late_start",
        "stream": f"{market}.{start['stream']}",
        "from": first,
        "to": last,
        "count": last - first + 1,
        "began": start["began"],
    }
    return _record(context, f"feed:{context.feed}", market, rx_ns, own)


def suspect_record(context: Context, rx_ns: int, market: str, *, cause: str, streams: int) -> str:
    """So many streams of this partition are suspect until their next image or W. `cause` is gap or late_start."""
    own: dict[str, object] = {"mt": "feed", "event": "suspect", "cause": cause, "streams": streams}
    return _record(context, _partition(context), market, rx_ns, own)


def healed_record(context: Context, rx_ns: int, healed: Healed) -> str:
    """The market's streams of this partition are proven again; `unproven` had no image of their own since."""
    counts = {"streams": healed.healed, "unproven": healed.unproven}
    own: dict[str, object] = {"mt": "feed", "event": "healed", "t0": healed.since_ns, **counts}
    return _record(context, _partition(context), healed.market, rx_ns, own)


def jump_record(context: Context, rx_ns: int, jump: Jump, *, reached: Mapping[str, int]) -> str:
    """RAW messages of this partition that were lost between publisher and parser. What they held is not known;
    `reached` is the last sequence of each stream of the source before them."""
    own: dict[str, object] = {"mt": "feed", "event": "jump", "messages": max(0, jump.last - jump.first + 1)}
    own |= {"publisher": jump.publisher, "first": jump.first, "last": jump.last, "reached": dict(reached)}
    return _record(context, _partition(context), None, rx_ns, own)


def tape_record(context: Context, rx_ns: int, lost: Lost, *, stream: tuple[str, str]) -> str:
    """Trades of a symbol that nobody received, as its next total volume shows; `stream` is (isin, symbol)."""
    isin, symbol = stream
    status = context.stream("status", isin, symbol)
    status.n += 1
    market, board = json.dumps(lost.market), json.dumps(lost.board)
    lead = f'"q":null,"m":{market},"bd":{board},"mt":"tape","ts":"{_iso(rx_ns)}","event":"tape"'
    totals = f'"vol0":{lost.before[0]},"val0":{lost.before[1]},"vol1":{lost.after[0]},"val1":{lost.after[1]}'
    own = f'"missing":{lost.volume},"by_q":{lost.sequence}'
    return f"{status.head}{status.n}{context.mid}{rx_ns},{lead},{own},{totals}}}"


def _partition(context: Context) -> str:
    """Each partition speaks for its own symbols, in a stream of its own: `feed:STO.2`."""
    return f"feed:{context.feed}.{context.suspects.partition}"


def replay_end_record(context: Context, rx_ns: int, partition: int) -> str:
    """The end of a replay in one partition; a client has all when every partition has said so."""
    own: dict[str, object] = {"mt": "replay", "event": "end", "partition": partition}
    return _record(context, f"{context.origin}", None, rx_ns, own)
