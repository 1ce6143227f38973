"""The account channel's records: numbering, what changed in rights and limits, and when a key's end is near."""

from __future__ import annotations

import json

import pytest

from subscriptions.entitlements import Limits
from subscriptions.gateway import account
from subscriptions.gateway.heads import HEAD, stream_key
from tests.gateway import cast

S = 1_000_000_000


def test_records_are_contiguous_for_each_subscriber() -> None:
    streams = account.AccountStreams()
    lines = [streams.record(name, "quota", at_ns=S, what="sessions") for name in ("acme", "bob", "acme")]
    heads = [HEAD.match(line) for line in lines]
    assert [(head[1], int(head[4])) for head in heads if head] == [
        (stream_key("account", "acme"), 1), (stream_key("account", "bob"), 1), (stream_key("account", "acme"), 2),
    ]  # fmt: skip
    assert len({head[5] for head in heads if head}) == 1
    found = json.loads(lines[2])
    assert (found["event"], found["what"], found["ts"]) == ("quota", "sessions", "1970-01-01T00:00:01.000Z")


def test_a_subscriber_that_was_forgotten_begins_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "SUBSCRIBERS_MAX", 1)
    streams = account.AccountStreams()
    first = json.loads(streams.record("acme", "quota", at_ns=1))
    streams.record("bob", "quota", at_ns=2)
    again = json.loads(streams.record("acme", "quota", at_ns=3))
    assert (first["n"], again["n"], first["ep"] != again["ep"]) == (1, 1, True)


def test_changed_rights_and_limits_are_told_in_words() -> None:
    trades, books = cast.rule({"trade"}), cast.rule({"depth"}, symbols=frozenset({"VNM", "FPT"}), product="Q")
    assert account.rights_changed(cast.grant(trades), cast.grant(trades)) is None
    changed = account.rights_changed(cast.grant(trades), cast.grant(books))
    assert changed is not None
    added, removed = changed["added"], changed["removed"]
    assert isinstance(added, list)
    assert (added[0]["product"], added[0]["symbols"], removed) == ("Q", ["FPT", "VNM"], account.shown([trades]))
    assert account.limits_changed(cast.LIMITS, cast.LIMITS) is None
    limits = account.limits_changed(cast.LIMITS, Limits(1, 2, 3, 4))
    assert limits == {
        "limits": {
            "symbols": 1, "ops_per_s": 2, "queue_bytes": 3, "sessions": 4, "takeover": False, "on_slow": "skip",
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left_s", "warned_s", "due_s"),
    [
        (8 * 86_400, None, None), (7 * 86_400, None, 7 * 86_400), (3_600, None, 3_600), (3_600, 86_400, 3_600),
        (3_599, 3_600, None), (600, 3_600, 600), (30, 60, None), (30, 600, 60), (0, None, None), (-5, None, None),
    ],
)  # fmt: skip
def test_each_warning_comes_once(left_s: int, warned_s: int | None, due_s: int | None) -> None:
    assert account.warning_due(left_s * S, warned_s=warned_s, now_ns=0) == due_s
