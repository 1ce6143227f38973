"""Bars for a terminal: their heights follow the values."""

from __future__ import annotations

import pytest

from benches.chart import bars


@pytest.mark.parametrize(
    ("values", "drawn"),
    [((), ""), ((0.0, 0.0), "▁▁"), ((1.0, 2.0, 8.0), "▂▃█"), ((5.0,), "█"), ((0.1, 3.9, 4.1, 7.9), "▁▄▅█")],
)
def test_heights(values: tuple[float, ...], drawn: str) -> None:
    assert bars(values) == drawn
