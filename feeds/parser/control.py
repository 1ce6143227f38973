"""Records of our own in the channel `status`: gaps, feed states, the end of a replay."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from feeds.parser.context import Context


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
    return _record(context, f"feed:{context.feed}", None, rx_ns, own)


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


def replay_end_record(context: Context, rx_ns: int, partition: int) -> str:
    """The end of a replay in one partition; a client has all when every partition has said so."""
    own: dict[str, object] = {"mt": "replay", "event": "end", "partition": partition}
    return _record(context, f"{context.origin}", None, rx_ns, own)
