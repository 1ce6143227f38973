"""Reads the simulator's options as they are written on the command line."""

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from feeds.simulator.faults import FaultRates
from feeds.simulator.pacing import BadBurst, Burst, burst_of

LINE_NAMES = ("A", "B")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")

LineValue = tuple[str | None, float]
"""(line, value); None is both lines."""


def line_value(text: str) -> LineValue:
    """`A:0.02` for one line, `0.02` for each of both."""
    line, colon, value = text.rpartition(":")
    if colon and line not in LINE_NAMES:
        raise argparse.ArgumentTypeError(f"line A or B expected before the colon, found {text!r}")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of 0 or more, or LINE:NUMBER, expected, found {text!r}")
    return line or None, number


def line_share(text: str) -> LineValue:
    line, number = line_value(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"a share from 0 to 1 expected, found {text!r}")
    return line, number


def datagram_range(text: str) -> tuple[int, int]:
    """`100-120` or `100`: numbers of datagrams, counted from 1 on each feed."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"FIRST-LAST expected, found {text!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(f"a range of datagram numbers from 1 expected, found {text!r}")
    return first, last


def burst(text: str) -> Burst:
    try:
        return burst_of(text)
    except BadBurst as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0 expected, found {text!r}")
    return number


def count_above_zero(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number above 0 expected, found {text!r}")
    return int(text)


def per_line(values: Iterable[LineValue]) -> dict[str, float]:
    """The value of each line; a later one overrides."""
    result: dict[str, float] = {}
    for line, value in values:
        for name in LINE_NAMES if line is None else (line,):
            result[name] = value
    return result


def fault_rates(shares: Mapping[str, Iterable[LineValue]]) -> dict[str, FaultRates]:
    """From fault name ("loss", ...) to the rates of each line that has any."""
    rates: dict[str, FaultRates] = {}
    for fault, values in shares.items():
        for line, share in per_line(values).items():
            rates[line] = replace(rates.get(line, FaultRates()), **{fault: share})
    return rates
