"""The work for a datagram grows with its length, whatever it claims, and nothing is allocated from a claimed count."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc
from collections.abc import Callable
from time import process_time

import pytest

from feeds.fix import framing
from feeds.parser.translator import Rejected, Translator
from tests.feeds.wire import body_of, book, edited, framed, message, price_head, trade

GROWTH_MAX = 40  # time for ten times the bytes; quadratic work would be 100
LENGTH_LIES = b"8=FIX.4.4\x019=%d\x0135=X\x0149=\x0156=\x0134=1\x0152=\x01"

HOSTILE: dict[str, Callable[[int], bytes]] = {
    "SOH": lambda n: b"\x01" * n,
    "begins": lambda n: b"8=FIX.4.4\x019=" * (n // 12),
    "heads that claim all of it": lambda n: (LENGTH_LIES % (n - 1)) * (n // 45),
    "one long value": lambda n: framed(b"35=X\x0158=" + b"9" * n + b"\x01"),
    "a long number": lambda n: framed(
        b"35=ME\x0149=V\x0156=9\x0134=1\x0152=x\x0130001=STO\x0130552=" + b"9" * n + b"\x01"
    ),
    "many fields": lambda n: framed(b"35=X\x01" + b"58=a\x01" * (n // 5)),
    "many equals": lambda n: framed(b"35=X\x0158=" + b"=" * n + b"\x01"),
    "many entries": lambda n: message("X", 1, *price_head(), (268, n // 10), *[(83, i) for i in range(n // 10)]),
}


def spent(data: bytes) -> float:
    """The least CPU time of five runs through framing and the general path."""
    best = 1e9
    for _ in range(5):
        start = process_time()
        for span in framing.split(data):
            with contextlib.suppress(Rejected):
                Translator().general(span.data)
        best = min(best, process_time() - start)
    return best


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_times_the_bytes(name: str) -> None:
    small, large = HOSTILE[name](6_000), HOSTILE[name](60_000)
    assert spent(large) < GROWTH_MAX * max(spent(small), 100e-6)


def test_spans_of_a_hostile_datagram_are_bounded() -> None:
    spans = framing.split(b"8=FIX.4.4\x019=" * 5_000 + trade(1))
    assert len(spans) == framing.BROKEN_MAX + 1
    assert b"".join(span.data for span in spans) == b"8=FIX.4.4\x019=" * 5_000 + trade(1)


def test_the_checksum_is_taken_once_per_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sums: list[int] = []
    real = framing.checksum

    def counting(data: bytes, start: int, end: int) -> int:
        sums.append(end - start)
        return real(data, start, end)

    monkeypatch.setattr(framing, "checksum", counting)
    datagram = b"".join(book(n) for n in range(1, 21))
    assert all(span.head is not None for span in framing.split(datagram))
    assert sums == [len(book(n)) - 7 for n in range(1, 21)]


@pytest.mark.parametrize("count", [b"1000000000", b"9" * 400])
def test_a_claimed_count_allocates_nothing(count: bytes) -> None:
    translator = Translator()
    honest, lying = book(1), edited(book(1), b"268=6", b"268=" + count)
    translator.general(honest)
    tracemalloc.start()
    try:
        with pytest.raises(Rejected, match="268"):
            translator.general(lying)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * sys.getsizeof(body_of(honest))


def test_a_claimed_length_allocates_nothing() -> None:
    tracemalloc.start()
    try:
        spans = framing.split(b"8=FIX.4.4\x019=99999\x0135=X\x0149=V\x0156=9\x0134=1\x0152=x\x01")
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(spans), spans[0].head) == (1, None)
    assert peak < 10_000
