"""The ban of bad keys: one key in a crash loop, an address that guesses, and the neighbours of both."""

from __future__ import annotations

from subscriptions.gateway.bad_keys import (
    ADDRESS_FAILURES_MAX,
    BAN_S_FIRST,
    BAN_S_MAX,
    ENTRIES_MAX,
    FORGET_S,
    SECRET_FAILURES_MAX,
    BadKeys,
)

S = 1_000_000_000
HERE, THERE = "203.0.113.7", "203.0.113.8"


def test_a_key_in_a_crash_loop_waits_longer_each_time() -> None:
    keys, now_ns, waits = BadKeys(), 0, []
    for _ in range(20):
        wait_ms = keys.wait_ms("bad", HERE, now_ns=now_ns)
        if wait_ms:
            waits.append(wait_ms // 1000)
            now_ns += wait_ms * 1_000_000
        keys.failed("bad", HERE, now_ns=now_ns)
    assert len(waits) == 20 - SECRET_FAILURES_MAX
    assert waits[:4] == [BAN_S_FIRST, 2 * BAN_S_FIRST, 4 * BAN_S_FIRST, 8 * BAN_S_FIRST]
    assert waits[-1] == BAN_S_MAX
    assert keys.banned == len(waits)


def test_others_behind_the_same_address_and_the_same_key_elsewhere_go_on() -> None:
    keys = BadKeys()
    for _ in range(SECRET_FAILURES_MAX):
        keys.failed("bad", HERE, now_ns=0)
    assert keys.wait_ms("bad", HERE, now_ns=0) == BAN_S_FIRST * 1000
    assert keys.wait_ms("good", HERE, now_ns=0) == 0
    assert keys.wait_ms("bad", THERE, now_ns=0) == 0
    assert keys.wait_ms("bad", HERE, now_ns=BAN_S_FIRST * S) == 0


def test_an_address_that_guesses_is_refused_whatever_it_brings() -> None:
    keys = BadKeys()
    for number in range(ADDRESS_FAILURES_MAX):
        assert keys.wait_ms(f"guess {number}", HERE, now_ns=number) == 0
        keys.failed(f"guess {number}", HERE, now_ns=number)
        keys.succeeded("its own good key", HERE)
    assert keys.wait_ms("another", HERE, now_ns=ADDRESS_FAILURES_MAX) > 0
    assert keys.wait_ms("another", THERE, now_ns=ADDRESS_FAILURES_MAX) == 0


def test_time_and_success_forgive() -> None:
    keys = BadKeys()
    for _ in range(SECRET_FAILURES_MAX - 1):
        keys.failed("mended", HERE, now_ns=0)
    keys.succeeded("mended", HERE)
    keys.failed("mended", HERE, now_ns=0)
    assert keys.wait_ms("mended", HERE, now_ns=0) == 0
    keys.failed("mended", HERE, now_ns=0)
    keys.failed("mended", HERE, now_ns=(FORGET_S + 1) * S)
    assert keys.wait_ms("mended", HERE, now_ns=(FORGET_S + 1) * S) == 0


def test_what_is_remembered_is_bounded() -> None:
    keys = BadKeys()
    for number in range(ENTRIES_MAX):
        keys.failed("bad", f"address {number}", now_ns=number)
    assert len(keys) == ENTRIES_MAX
