"""I5, I7, I8 and I14: every RAW id has one outcome, streams keep their order, the end state is the reference's."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testbed.invariants.identity import SHARED, Identity, some

# Every other `mt` is a record of our own: gap, feed, replay, tape.
ROUTED = frozenset({"X", "f", "M7", "M8", "ME", "MF", "MX", "d", "M1", "MT", "MA", "W", "ML"})
EVENTS = frozenset({"trade", "status"})
BOARD_IMAGES = frozenset({"depth", "stats", "expected", "index"})
Record = dict[str, Any]


def identity_of_record(record: Mapping[str, Any]) -> Identity:
    market, msg_type = record["m"], record["mt"]
    shared = msg_type in SHARED or (msg_type, market) == ("MX", "DVX")
    return Identity(market, "market" if shared else msg_type, record["q"], msg_type)


def every_id_has_one_outcome(
    raw: Iterable[Identity], records: Iterable[Record], *, dead: Iterable[Identity],
    late: frozenset[Identity] = frozenset(),
) -> list[str]:  # fmt: skip
    """I5: distinct RAW ids = parsed + dead-lettered + unrouted. `late` may be without a record (a late image)."""
    keys = Counter((r["ch"], identity_of_record(r)) for r in records if r["mt"] in ROUTED)
    parsed = {identity for _, identity in keys}
    expected = {identity for identity in raw if identity.msg_type in ROUTED}
    refused = set(dead)
    violations = []
    lost = expected - parsed - refused - late
    if lost:
        violations.append(f"I5: on RAW, neither parsed nor a dead letter: {some(sorted(lost))}")
    invented = parsed - expected
    if invented:
        violations.append(f"I5: parsed and never on RAW: {some(sorted(invented))}")
    twice = sorted(key for key, count in keys.items() if count > 1)
    if twice:
        violations.append(f"I5: parsed more than once: {some(f'{channel} {identity}' for channel, identity in twice)}")
    return violations


def streams_keep_their_order(records: Sequence[Record], late: frozenset[Identity] = frozenset()) -> list[str]:
    """I7: per stream `n` counts on by one; per stream and source sequence `q` rises, but for late copies."""
    violations: list[str] = []
    last_n: dict[tuple[str, str, str], int] = {}
    last_q: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for record in records:
        stream = (record["ch"], record["s"], record["ep"])
        before = last_n.get(stream)
        if before is not None and record["n"] != before + 1:
            violations.append(f"I7 {stream}: n {record['n']} after {before}")
        last_n[stream] = record["n"]
        if record["mt"] not in ROUTED or record["q"] is None:
            continue
        identity = identity_of_record(record)
        source = (*stream, identity.market, identity.stream)
        if record["q"] <= last_q[source] and identity not in late:
            violations.append(f"I7 {source}: q {record['q']} after {last_q[source]}")
        last_q[source] = max(record["q"], last_q[source])
    return violations[:20]


def image_key(record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Which image a record replaces; None for an event."""
    if record["ch"] in EVENTS or record["mt"] not in ROUTED:
        return None
    own = () if record["ch"] in BOARD_IMAGES else (record["mt"],)
    return (record["ch"], record["s"], record["ep"], str(record["bd"]), *own)


def state_of(records: Iterable[str]) -> dict[tuple[str, ...], str]:
    """The last image of everything, without its number and receive time."""
    state: dict[tuple[str, ...], str] = {}
    for text in records:
        record = json.loads(text, parse_float=str)
        key = image_key(record)
        if key is not None:
            state[key] = json.dumps({**record, "n": 0, "rx": 0})
    return state


def state_is_the_references(found: Mapping[tuple[str, ...], str], expected: Mapping[tuple[str, ...], str]) -> list[str]:
    """I8: the state after the run = the state of a single-threaded reference over the unique ordered input."""
    violations = []
    for what, keys in (("missing", expected.keys() - found.keys()), ("beyond", found.keys() - expected.keys())):
        if keys:
            violations.append(f"I8: images {what}: {some(sorted(keys))}")
    other = sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])
    if other:
        violations.append(f"I8: other last images: {some(other)}; found {found[other[0]]}, not {expected[other[0]]}")
    return violations


def replays_are_identical(one: Sequence[tuple[int, bytes]], two: Sequence[tuple[int, bytes]]) -> list[str]:
    """I14: (partition, PARSED body) of two replays of one journal."""
    if one == two:
        return []
    first = next(
        (i for i, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]), min(len(one), len(two))
    )
    return [f"I14: two replays differ at message {first} ({len(one)} and {len(two)} messages)"]
