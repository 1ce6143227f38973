"""Makes the records of the private `account` channel: one stream a subscriber, contiguous in one gateway.  [pure]

The epoch names this gateway's numbering: a client that resumes at another one is told so, as with any other stream.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime

from subscriptions.entitlements import Grant, Limits, ProductRule

CHANNEL = "account"
SUBSCRIBERS_MAX = 100_000  # numberings kept; past it: the one used longest ago goes, its next record begins an epoch
# Before a key ends, its sessions hear of it this often.
WARN_BEFORE_S = (7 * 86_400, 86_400, 3_600, 600, 60)


class AccountStreams:
    def __init__(self) -> None:
        self._numbers: OrderedDict[str, tuple[str, int]] = OrderedDict()  # subscriber → (epoch, last number)

    def record(self, subscriber: str, event: str, *, at_ns: int, **members: object) -> bytes:
        """One line, with the leading members that every record has."""
        epoch, number = self._numbers.pop(subscriber, (f"account-{at_ns}", 0))
        self._numbers[subscriber] = (epoch, number + 1)
        while len(self._numbers) > SUBSCRIBERS_MAX:
            self._numbers.popitem(last=False)
        time = f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{at_ns // 10**6 % 1000:03d}Z"
        head: dict[str, object] = {
            "ch": CHANNEL, "s": subscriber, "n": number + 1, "ep": epoch, "rx": at_ns, "q": None, "m": None,
            "bd": None, "mt": "account", "ts": time, "event": event,
        }  # fmt: skip
        return json.dumps(head | members, separators=(",", ":")).encode()


def rights_changed(before: Grant, after: Grant) -> dict[str, object] | None:
    """The members of an `entitlements` record; None when the rules are the same."""
    if before.rules == after.rules:
        return None
    old, new = set(before.rules), set(after.rules)
    return {"added": shown(new - old), "removed": shown(old - new)}


def limits_changed(before: Limits, after: Limits) -> dict[str, object] | None:
    """The members of a `limits` record."""
    if before == after:
        return None
    return {
        "limits": {
            "symbols": after.symbols, "ops_per_s": after.ops_per_s, "queue_bytes": after.queue_bytes,
            "sessions": after.sessions, "takeover": after.takeover, "on_slow": after.on_slow,
        }
    }  # fmt: skip


def shown(rules: Iterable[ProductRule]) -> list[dict[str, object]]:
    """Rules in words that a client can read; in a fixed order."""
    rows: list[dict[str, object]] = [
        {
            "product": rule.product,
            "rule": rule.rule,
            "channels": sorted(rule.channels),
            "markets": sorted(rule.markets),
            "level": rule.level,
            "timeliness": rule.timeliness,
            "delay_s": rule.delay_s,
            "symbols": sorted(rule.symbols) if rule.symbols is not None else None,
        }
        for rule in rules
    ]
    return sorted(rows, key=lambda row: (str(row["product"]), str(row["rule"])))


def warning_due(expires_ns: int, *, warned_s: int | None, now_ns: int) -> int | None:
    """The warning to give now (seconds before the end, one of WARN_BEFORE_S), unless one as late was given."""
    left_ns = expires_ns - now_ns
    if left_ns <= 0:
        return None
    passed = [before for before in WARN_BEFORE_S if left_ns <= before * 1_000_000_000]
    if not passed or (warned_s is not None and warned_s <= min(passed)):
        return None
    return min(passed)
