"""Writes numbers the way an operator reads them: 1,234/s, 4.2 MB, 3 min.  [pure]"""

from __future__ import annotations

_BYTES = ("B", "KB", "MB", "GB", "TB")


def count(value: float | None) -> str:
    """`1234567` as `1,234,567`; a dash when unknown."""
    return "–" if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """Three digits from a hundred thousand on: `1,234`, `124k`, `12.5M`, `125M`."""
    if value is None:
        return "–"
    for step, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= step and value >= 1e5:
            return f"{value / step:.0f}{unit}" if value >= 100 * step else f"{value / step:.1f}{unit}"
    return count(value)


def rate(value: float | None) -> str:
    """Events per second: one decimal below ten, none above."""
    if value is None:
        return "–"
    return f"{value:.1f}/s" if 0 < value < 10 else f"{value:,.0f}/s"


def size(value: float | None) -> str:
    """Bytes in steps of 1,000: `4.2 MB`."""
    if value is None:
        return "–"
    step, number = 0, float(value)
    while abs(number) >= 1000 and step < len(_BYTES) - 1:
        number /= 1000
        step += 1
    return f"{number:.0f} {_BYTES[step]}" if step == 0 or abs(number) >= 100 else f"{number:.1f} {_BYTES[step]}"


def milliseconds(value: float | None) -> str:
    """`0.42 ms`, `12 ms`, `1.2 s`."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def duration(seconds: float | None) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86400, "d", whole % 86400 // 3600, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small else "")
