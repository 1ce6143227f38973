"""Close frames and refused handshakes, read; delays between attempts; the pace of operations."""

from __future__ import annotations

import pytest

from mdds_client.backoff import CAP_S, Pace, reconnect_delay_s
from mdds_client.closings import RETRY_AFTER_MS_MAX, Next, read_close, read_refusal
from mdds_client.errors import ERROR_OF_CODE, AuthFailed, KeyRevoked, MddsError, RateLimit, error_of


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (4000, '{"code":"SHUTDOWN","retry_after_ms":1500}', (Next.RECONNECT, "SHUTDOWN", 1500)),
        (4001, "", (Next.RECONNECT, "SLOW", None)),
        (4099, "", (Next.RECONNECT, "CONNECTION_FAILED", None)),
        (4100, "", (Next.AFTER_CHANGE, "CONNECTION_FAILED", None)),
        (4102, '{"retry_after_ms":"soon"}', (Next.AFTER_CHANGE, "RATE_LIMIT", None)),
        (4199, "not json", (Next.AFTER_CHANGE, "CONNECTION_FAILED", None)),
        (4200, "", (Next.RECONNECT, "CONNECTION_FAILED", None)),
        (4400, '{"code":"NEWER_CODE"}', (Next.NEVER, "NEWER_CODE", None)),
        (4401, '{"code":"KEY_EXPIRED"}', (Next.NEVER, "KEY_EXPIRED", None)),
        (4499, "[1]", (Next.NEVER, "CONNECTION_FAILED", None)),
        (1006, "", (Next.RECONNECT, "CONNECTION_FAILED", None)),
        (1009, "", (Next.NEVER, "CONNECTION_FAILED", None)),
        (1013, '{"retry_after_ms":1e12}', (Next.RECONNECT, "CONNECTION_FAILED", RETRY_AFTER_MS_MAX)),
        (4000, '{"retry_after_ms":-1}', (Next.RECONNECT, "SHUTDOWN", None)),
    ],
)
def test_a_close_frame_says_what_may_follow(code: int, reason: str, expected: tuple[Next, str, int | None]) -> None:
    closing = read_close(code, reason)
    assert (closing.next, closing.error.code, closing.retry_after_ms) == expected
    assert str(closing).startswith(str(code))


def test_a_reason_without_words_is_said_in_words() -> None:
    assert read_close(4401, '{"code":"KEY_REVOKED"}').error.message == "authentication failed: key revoked"
    assert str(read_close(4001, '{"code":"SLOW"}')) == "4001 SLOW: this client read too slowly"


def test_the_fatal_error_before_a_final_close_has_the_better_words() -> None:
    closing = read_close(4401, '{"code":"AUTH_FAILED"}', last_error=KeyRevoked("revoked by Alice"))
    assert isinstance(closing.error, KeyRevoked)
    assert closing.error.message == "revoked by Alice"


@pytest.mark.parametrize(
    ("status", "retry_after_s", "expected"),
    [
        (401, None, (Next.NEVER, AuthFailed, None)),
        (429, "7", (Next.RECONNECT, RateLimit, 7000)),
        (503, "soon", (Next.RECONNECT, ERROR_OF_CODE["OVERLOADED"], None)),
        (502, None, (Next.RECONNECT, MddsError, None)),
        (404, None, (Next.NEVER, MddsError, None)),
    ],
)
def test_a_refused_handshake_says_what_may_follow(
    status: int, retry_after_s: str | None, expected: tuple[Next, type[MddsError], int | None]
) -> None:
    closing = read_refusal(status, "<html>", retry_after_s=retry_after_s)
    assert (closing.next, closing.retry_after_ms) == (expected[0], expected[2])
    assert isinstance(closing.error, expected[1])
    assert str(status) in closing.error.message


def test_every_error_code_of_the_protocol_has_its_exception() -> None:
    codes = (
        "BAD_JSON",
        "UNKNOWN_OP",
        "BAD_PARAM",
        "NOT_SUBSCRIBED",
        "TOO_LARGE",
        "AUTH_REQUIRED",
        "AUTH_FAILED",
        "KEY_REVOKED",
        "KEY_EXPIRED",
        "IP_NOT_ALLOWED",
        "NOT_ENTITLED",
        "LEVEL_NOT_ENTITLED",
        "DELAYED_ONLY",
        "CONTRACT_ENDED",
        "SESSION_LIMIT",
        "SYMBOL_LIMIT",
        "RATE_LIMIT",
        "SYMBOL_UNKNOWN",
        "RESUME_EPOCH",
        "RESUME_AGED_OUT",
        "REPLAY_AGED_OUT",
        "FEED_DOWN",
        "INTERNAL",
        "OVERLOADED",
        "SHUTDOWN",
        "NOT_FOUND",
        "CONFLICT",
        "BANNED",
        "TAKEN_OVER",
    )
    for code in codes:
        error = error_of(code, "words", retry_after_ms=5)
        assert type(error) is ERROR_OF_CODE[code]
        assert (error.code, error.message, error.retry_after_ms, str(error)) == (code, "words", 5, "words")
    newer = error_of("NEWER")
    assert (type(newer), newer.code, str(newer)) == (MddsError, "NEWER", "NEWER")


def test_delays_are_full_jitter_under_a_cap_and_never_before_the_server_wants() -> None:
    assert [reconnect_delay_s(attempt, draw=1.0) for attempt in (0, 1, 2, 6, 1000)] == [0.5, 1.0, 2.0, CAP_S, CAP_S]
    assert reconnect_delay_s(5, draw=0.0) == 0.0
    assert reconnect_delay_s(0, draw=0.9, retry_after_ms=4000) == 4.0
    assert reconnect_delay_s(6, draw=0.5, retry_after_ms=4000) == 15.0


def test_operations_burst_for_one_second_and_then_keep_the_rate() -> None:
    pace = Pace(10)
    waits = [round(pace.wait_s(100.0), 3) for _ in range(13)]
    assert waits == [0.0] * 10 + [0.1, 0.2, 0.3]
    assert pace.wait_s(105.0) == 0.0
    assert Pace(None).wait_s(0.0) == 0.0
