"""Random fault scripts: what two lines bring of several streams with loss, duplicates, delay and reordering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.feeds.wire import expected, message, trade

Arrival = tuple[int, str, bytes]  # ms, line, datagram


@dataclass(frozen=True)
class Script:
    """`arrivals` in order of time; `sent` is what each stream's source sent: (stream, sequence) → bytes."""

    arrivals: list[Arrival]
    sent: dict[tuple[str, int], bytes]


def source(stream: str, sequence: int) -> bytes:
    if stream == "STO.market":
        return trade(sequence) if sequence % 3 else expected(sequence)
    if stream == "DVX.market":
        return expected(sequence, market="DVX", isin="VN41I1F60005")
    return message("MT", sequence, (30001, "STO"), (55, "VN000000FPT1"), (331, str(sequence)))


@st.composite
def scripts(draw: Any, messages_max: int = 30) -> Script:
    """Up to `messages_max` messages of each of three streams. Delays reach beyond the wait window of 200 ms."""
    seed = draw(st.randoms(use_true_random=False))
    loss, extra, late = draw(st.tuples(*[st.sampled_from([0.0, 0.1, 0.5])] * 3))
    arrivals: list[tuple[int, int, str, bytes]] = []
    sent: dict[tuple[str, int], bytes] = {}
    for stream in ("STO.market", "DVX.market", "STO.MT"):
        for sequence in range(1, draw(st.integers(0, messages_max)) + 1):
            data = sent[stream, sequence] = source(stream, sequence)
            for line in "AB":
                copies = (seed.random() >= loss) + (seed.random() < extra)
                for _ in range(copies):
                    delay = seed.randint(0, 600) if seed.random() < late else seed.randint(0, 3)
                    arrivals.append((10 * sequence + delay, len(arrivals), line, data))
    return Script([(ms, line, data) for ms, _, line, data in sorted(arrivals)], sent)
