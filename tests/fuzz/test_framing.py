"""Framing over any bytes: every byte ends in a span, sound messages are found, the work is linear in the length."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from feeds.fix import framing
from feeds.parser.translator import Rejected, Translator, Unrouted
from tests.feeds.test_linear_time import HOSTILE
from tests.feeds.valid_messages import Shape, shapes
from tests.fuzz.mutations import JUNK, traffic

thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(st.one_of(st.binary(max_size=400), traffic().map(b"".join)))
def test_every_byte_is_in_one_span(datagram: bytes) -> None:
    spans = framing.split(datagram)
    assert b"".join(span.data for span in spans) == datagram
    at = 0
    for span in spans:
        assert (span.offset, bool(span.data)) == (at, True)
        at += len(span.data)
        if span.head is not None:
            framing.check_frame(span.data)
            assert framing.is_whole(span.data, framing.HEAD.match(span.data))  # type: ignore[arg-type]


@thorough
@given(shapes(), st.lists(JUNK, min_size=5, max_size=5))
def test_sound_messages_are_found_between_junk(shape: Shape, junk: list[bytes]) -> None:
    """Unless the junk claims them: it has to end before a message begins."""
    assume(not any(b"8=FIX" in data for data in junk))
    sound = [shape.message(n, values) for n, values in enumerate(shape.values, start=1)]
    datagram = junk[-1] + b"".join(data + after for data, after in zip(sound, junk, strict=False))
    assert [span.data for span in framing.split(datagram) if span.head is not None] == sound


@thorough
@given(st.one_of(st.binary(max_size=300), traffic().map(b"".join)))
def test_a_broken_frame_has_a_reason_inside_it(data: bytes) -> None:
    for span in framing.split(data):
        if span.head is not None:
            continue
        error = frame_error(span.data)
        if error is not None:
            assert 0 <= error.offset <= len(span.data)
        else:  # sound by length and checksum; its header is not the feed's, so that it cannot be sequenced
            head = framing.HEAD.match(span.data)
            assert head is None or not framing.is_whole(span.data, head)


def frame_error(data: bytes) -> framing.FramingError | None:
    try:
        framing.check_frame(data)
    except framing.FramingError as error:
        return error
    return None


@pytest.mark.parametrize("name", HOSTILE)
def test_the_checksummed_bytes_are_bounded_by_the_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each broken span may be summed once, and there are at most BROKEN_MAX of them."""
    summed = [0]
    real = framing.checksum

    def counting(data: bytes, start: int, end: int) -> int:
        summed[0] += end - start
        return real(data, start, end)

    monkeypatch.setattr(framing, "checksum", counting)
    datagram = HOSTILE[name](60_000)
    framing.split(datagram)
    assert summed[0] <= (framing.BROKEN_MAX + 1) * len(datagram)


def calls_of(function: Callable[[], object]) -> int:
    """How many Python and C functions `function` calls."""
    counted = [0]

    def count(_frame: FrameType, kind: str, _argument: object) -> None:
        counted[0] += kind in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted[0]


def parse(data: bytes) -> None:
    translator = Translator()
    for span in framing.split(data):
        try:
            translator.general(span.data)
        except (Rejected, Unrouted):
            continue


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_times_the_bytes_are_at_most_ten_times_the_calls(name: str) -> None:
    """Counted, not timed: the same on a busy machine."""
    small, large = HOSTILE[name](6_000), HOSTILE[name](60_000)
    few, many = calls_of(lambda: parse(small)), calls_of(lambda: parse(large))
    assert many <= 12 * few + 50
