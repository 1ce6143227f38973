"""I5 for snapshots: only one behind a newer image of its instrument may be left without a record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from feeds.blocks import FLAG_MESSAGE, FLAG_OVERTAKEN, Entry
from testbed.invariants.identity import Identity, identity_of, some

_SENT = re.compile(rb"\x0152=([^\x01]*)\x01")
_PLACE = re.compile(rb"\x0130001=([^\x01]*)\x0120004=([^\x01]*)(?=\x01).*?\x0155=([^\x01]*)\x01")
SNAPSHOT = "W"


def overtaken_in(entries: Iterable[Entry]) -> tuple[set[Identity], list[str]]:
    """Who is said to be overtaken, and of whom no newer image went out before. `entries`: all of RAW, in order."""
    newest: dict[tuple[bytes, ...], bytes] = {}
    told: set[Identity] = set()
    wrong: set[Identity] = set()
    for _, _, flags, data in entries:
        if flags == FLAG_OVERTAKEN:
            market, stream, number = json.loads(data)
            told.add(Identity(market, stream, number, SNAPSHOT))
        elif flags == FLAG_MESSAGE and (place := _PLACE.search(data)) is not None:
            sent, key = _SENT.search(data), place.groups()
            if sent is None:
                continue
            if b"\x0135=X\x01" in data[:40]:
                newest[key] = max(newest.get(key, b""), sent[1])
            elif (identity := identity_of(data)) in told and newest.get(key, b"") <= sent[1] and identity is not None:
                wrong.add(identity)
    return told, [f"I5: told to be overtaken, with nothing newer before: {some(sorted(wrong))}"] if wrong else []
