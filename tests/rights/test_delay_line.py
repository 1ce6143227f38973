"""The delay line: never early, whole and in order, one line for several delays, and what it says when it is full."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from subscriptions.gateway.delay import CHUNK_NS, DelayLine, Skipped
from subscriptions.gateway.heads import stream_key
from tests.gateway import cast

S = 1_000_000_000


def released(line: DelayLine, delay_s: int, now_ns: int) -> list[bytes]:
    found: list[bytes] = []
    while (chunk := line.release(delay_s, now_ns)) is not None:
        assert isinstance(chunk, bytes), "nothing is missing"
        found += chunk.split(b"\n")
    return found


@given(st.lists(st.integers(0, 400_000_000), min_size=1, max_size=60), st.lists(st.integers(0, 3 * S), max_size=40))
def test_no_record_is_early_and_none_is_lost(steps_ns: list[int], looks_ns: list[int]) -> None:
    line, now_ns, sent, got = DelayLine(1 << 20), 0, [], {2: [], 5: []}  # type: ignore[var-annotated]
    line.set_delays({2, 5})
    looks = iter(looks_ns)
    for number, step_ns in enumerate(steps_ns):
        now_ns += step_ns
        text = cast.trade("FPT", number)
        sent.append((text, now_ns))
        line.push(text, now_ns)
        now_ns += next(looks, 0)
        for delay_s, texts in got.items():
            texts += released(line, delay_s, now_ns)
            assert [one for one, at_ns in sent if at_ns <= now_ns - delay_s * S][: len(texts)] == texts
            late = [one for one, at_ns in sent if at_ns < now_ns - delay_s * S - CHUNK_NS]
            assert texts[: len(late)] == late
    for delay_s, texts in got.items():
        texts += released(line, delay_s, now_ns + 6 * S)
        assert texts == [one for one, _ in sent]
    assert line.queued_bytes == 0


def test_a_full_line_says_what_is_missing_in_its_place() -> None:
    line = DelayLine(4_000)
    line.set_delays({10})
    noise = [os.urandom(300).hex() for _ in range(12)]
    for number, text in enumerate(noise, start=1):
        line.push(cast.trade("FPT", number, x=text), number * S)
        line.push(cast.trade("VNM", number, x=text), number * S)
    now_ns, numbers, skips = 12 * S, [], []
    for _ in range(30):
        now_ns += S
        while (chunk := line.release(10, now_ns)) is not None:
            if isinstance(chunk, bytes):
                numbers += [int(one.split(b'"n":')[1].split(b",")[0]) for one in chunk.split(b"\n") if b"FPT" in one]
            else:
                skips.append(chunk[stream_key("trade", "FPT")])
    kept = len(numbers)
    assert numbers == list(range(1, kept + 1))
    assert 0 < kept < 12
    assert skips == [Skipped("FPT", b"20261120-1", kept + 1, 12)]
    assert (line.records_skipped, line.queued_bytes) == (2 * (12 - kept), 0)


def test_a_line_that_was_full_keeps_again() -> None:
    line = DelayLine(1_000)
    line.set_delays({1})
    for number in range(1, 6):
        line.push(cast.trade("FPT", number, x=os.urandom(200).hex()), number * S)
    while line.release(1, 10 * S) is not None:
        pass
    line.push(cast.trade("FPT", 6), 11 * S)
    assert released(line, 1, 13 * S) == [cast.trade("FPT", 6)]


def test_a_new_delay_begins_with_all_there_is_and_without_any_nothing_is_kept() -> None:
    line = DelayLine(1 << 20)
    line.push(cast.trade("FPT", 1), 0)
    line.set_delays({5})
    assert line.release(5, 100 * S) is None
    line.push(cast.trade("FPT", 2), 100 * S)
    line.push(cast.trade("FPT", 3), 102 * S)
    line.set_delays({5, 3})
    assert released(line, 3, 104 * S) == [cast.trade("FPT", 2)]
    assert released(line, 5, 104 * S) == []
    line.set_delays({5})
    assert released(line, 5, 110 * S) == [cast.trade("FPT", 2), cast.trade("FPT", 3)]
    line.set_delays(())
    assert (line.queued_bytes, line.delays) == (0, frozenset())


def test_a_clock_that_goes_back_makes_nothing_older() -> None:
    line = DelayLine(1 << 20)
    line.set_delays({5})
    line.push(cast.trade("FPT", 1), 100 * S)
    line.push(cast.trade("FPT", 2), 50 * S)
    assert released(line, 5, 104 * S) == []
    assert released(line, 5, 106 * S) == [cast.trade("FPT", 1), cast.trade("FPT", 2)]
