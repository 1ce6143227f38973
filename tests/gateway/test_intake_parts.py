"""Numbering, feed states, rates and handshakes, each as a transcript."""

from __future__ import annotations

import json

import pytest

from subscriptions.gateway.feeds_seen import FeedsSeen
from subscriptions.gateway.handshake import read_offer
from subscriptions.gateway.rate import SessionRate, Verdict
from subscriptions.gateway.spans import Placement, Spans
from tests.gateway import cast


def headers(first: int, last: int, **changes: object) -> dict[str, object]:
    return {"origin": "live", "feed": "HSX", "partition": 0, "run": "1", "first": first, "last": last} | changes


def test_overlaps_are_dropped_and_jumps_counted_per_numbering() -> None:
    spans = Spans()
    transcript = [
        (headers(101, 110), Placement(0, 0)),  # the first of a numbering: what was before is not ours
        (headers(111, 115), Placement(0, 0)),
        (headers(111, 115), Placement(5, 0)),  # redelivered
        (headers(114, 118), Placement(2, 0)),  # overlapping
        (headers(121, 122), Placement(0, 2)),  # 119 and 120 are lost
        (headers(105, 109), Placement(5, 0)),  # late again: nothing new
        (headers(123, 123), Placement(0, 0)),
        (headers(1, 3, run="2"), Placement(0, 0, restarted=True)),  # a parser that lost its numbers
        (headers(1, 3, partition=1), Placement(0, 0)),
        (headers(1, 3, origin="replay:1"), Placement(0, 0)),
        (headers(4, 3, run="2"), Placement(0, 0)),  # an empty message
    ]
    assert [spans.place(one) for one, _ in transcript] == [placement for _, placement in transcript]
    assert (spans.duplicates, spans.lost, spans.jumps) == (12, 2, 1)


@pytest.mark.parametrize("bad", [{}, headers(5, 1), headers(1, 2) | {"first": "x"}])
def test_a_message_without_numbers_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Spans().place(bad)


def test_feeds_learn_from_records_and_states() -> None:
    feeds = FeedsSeen()
    feeds.note(
        cast.trade("FPT", 1) + b"\n" + cast.trade("FPT", 2), {"feed": "HSX", "t_rx": 5_000_000}, now_ns=9_000_000
    )
    assert feeds.shown(now_ns=9_000_000) == {"HSX": {"ep": cast.EPOCH, "q": 1002, "age_ms": 4, "state": "live"}}
    state = cast.record("status", "feed:HSX", 1, m=None, bd=None, mt="feed", event="state", state="stale")
    gap = cast.record("status", "feed:HSX", 2, m=None, bd=None, mt="gap", event="gap", state="live")
    feeds.note(state + b"\n" + gap, {"feed": "HSX", "t_rx": 9_000_000}, now_ns=9_000_000)
    stale = feeds.shown(now_ns=9_000_000)["HSX"]
    assert (stale["state"], stale["age_ms"]) == ("stale", 4), "what is said of a silent feed is no message of it"
    mixed = state + b"\n" + cast.trade("FPT", 3)
    feeds.note(mixed, {"feed": "HSX", "t_rx": 8_000_000}, now_ns=9_000_000)
    assert feeds.shown(now_ns=9_000_000)["HSX"]["age_ms"] == 1


def test_feeds_learn_what_was_said_before() -> None:
    feeds = FeedsSeen()
    stale = cast.record("status", "feed:HSX", 7, m=None, bd=None, mt="feed", event="state", state="stale").decode()
    down = cast.record("status", "feed:HNX", 3, m=None, bd=None, mt="feed", event="state", state="closed").decode()
    live = cast.record("status", "feed:HNX", 4, m=None, bd=None, mt="feed", event="state", state="live")
    feeds.note(cast.trade("FPT", 1), {"feed": "HSX", "t_rx": 5_000_000}, now_ns=9_000_000)
    feeds.note(live, {"feed": "HNX", "t_rx": 5_000_000}, now_ns=9_000_000)
    feeds.learn(json.dumps({"HSX": stale, "HNX": down}).encode())
    shown = feeds.shown(now_ns=9_000_000)
    assert {name: feed["state"] for name, feed in shown.items()} == {"HSX": "stale", "HNX": "live"}
    feeds.learn(b"[1]")
    feeds.learn(b"torn")


def test_operations_are_served_delayed_refused_closed() -> None:
    rate = SessionRate(10, at_ns=0)
    assert [rate.spend(0) for _ in range(10)] == [Verdict()] * 10
    now_ns, delays = 0, []
    for _ in range(50):
        verdict = rate.spend(now_ns)
        delays.append(verdict.delay_ms)
        now_ns += verdict.delay_ms * 1_000_000
    assert set(delays) <= {100, 101}
    assert [rate.spend(now_ns).refused for _ in range(100)] == [True] * 100
    assert rate.spend(now_ns) == Verdict(refused=True, close=True, retry_after_ms=1000)
    assert rate.spend(now_ns + 1_000_000_000) == Verdict()  # a second's rest forgives


def scope(**changes: object) -> dict[str, object]:
    found: dict[str, object] = {"headers": [(b"host", b"md.example:8001")], "query_string": b"", "subprotocols": []}
    extra = changes.pop("headers", [])
    assert isinstance(extra, list)
    return found | {"headers": [(b"host", b"md.example:8001"), *extra], "client": ("10.0.0.7", 5)} | changes


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        (scope(), None),
        (scope(headers=[(b"authorization", b"Bearer abc")]), "abc"),
        (scope(headers=[(b"authorization", b"bearer  abc ")]), "abc"),
        (scope(subprotocols=["mdds.v1.json", "auth.j.w.t"]), "j.w.t"),
        (scope(query_string=b"colour=blue"), None),
    ],
)
def test_secrets_of_a_handshake(given: dict[str, object], secret: str | None) -> None:
    offer = read_offer(given)
    assert (offer.secret, offer.refusal, offer.error, offer.address) == (secret, None, None, "10.0.0.7")


@pytest.mark.parametrize(
    "given",
    [
        scope(headers=[(b"authorization", b"Basic abc")]),
        scope(headers=[(b"authorization", b"Bearer ")]),
        scope(headers=[(b"authorization", b"Bearer " + b"x" * 5_000)]),
        scope(query_string=b"API_KEY=mdds_live_x"),
        scope(query_string=b"a=1&token="),
    ],
)
def test_wrong_places_and_forms_of_a_secret(given: dict[str, object]) -> None:
    error = read_offer(given).error
    assert error is not None
    assert (error.code, error.fatal) == ("AUTH_FAILED", True)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://md.example:8001", True),
        ("https://portal.example", True),
        ("http://md.example", False),
        ("http://md.example:8001.evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    offer = read_offer(scope(headers=[(b"origin", origin.encode())]), origins=("https://portal.example",))
    assert (offer.refusal is None) is allowed
