"""Reads what bin/soak is asked for."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FAULTS = (
    "loss", "loss-both", "reorder", "duplicate", "burst", "capture", "publisher", "parser", "gateway", "broker",
    "broker-pause",
)  # fmt: skip
WHAT = {
    "loss": "5 to 30 % of one line",
    "loss-both": "1 to 3 % of both lines alike",
    "reorder": "up to 10 % overtaken by one to three others",
    "duplicate": "up to 10 % twice",
    "burst": "three times the rate for 2 s of each 20 s, all the time",
    "capture": "SIGKILL, started again",
    "publisher": "SIGKILL, started again",
    "parser": "SIGKILL of one of two, started again",
    "gateway": "SIGKILL, started again; its client comes back",
    "broker": "SIGKILL, started again after some seconds",
    "broker-pause": "SIGSTOP for up to 30 s",
}


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float
    rate: int
    faults: tuple[str, ...]
    seed: int
    symbols: int
    cap: Path | None
    keep: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Ends the process with 2 and one clear line for what it cannot do."""
    parser = argparse.ArgumentParser(
        prog="bin/soak",
        description="Runs the whole distributed system on private services under seeded faults and checks that nothing "
        "is lost, twice, out of order or unexplained. Exit code 1 at the first violation; the seed repeats the run.",
        epilog="faults: " + "; ".join(f"{name}: {text}" for name, text in WHAT.items()),
    )
    parser.add_argument("--minutes", type=_above_zero, default=10.0, help="of traffic (default 10)")
    parser.add_argument("--rate", type=_whole, default=10_000, help="messages/s (default 10000)")
    parser.add_argument("--faults", type=_faults, default=FAULTS, metavar="all|none|NAME,NAME", help="default all")
    parser.add_argument("--seed", type=int, help="of the exchange, the lines and the timeline (default: drawn)")
    parser.add_argument("--symbols", type=_whole, default=100, metavar="N", help="instruments (default 100)")
    parser.add_argument("--cap", type=Path, metavar="FILE", help="send this recording once, instead of an exchange")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and journal there (default: removed)")
    found = parser.parse_args(arguments)
    if found.cap is not None and not found.cap.is_file():
        parser.error(f"--cap {found.cap}: no such file")
    if found.keep is not None and found.keep.exists():
        parser.error(f"--keep {found.keep}: is there already")
    seed = found.seed if found.seed is not None else secrets.randbelow(1_000_000)
    return Options(found.minutes * 60, found.rate, found.faults, seed, found.symbols, found.cap, found.keep)


def _faults(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return FAULTS if text == "all" else ()
    names = tuple(text.split(","))
    for name in names:
        if name not in FAULTS:
            raise argparse.ArgumentTypeError(f"unknown fault {name!r}; known are all, none, {', '.join(FAULTS)}")
    return names


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0 expected, found {text!r}")
    return value


def _whole(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number above 0 expected, found {text!r}")
    return int(text)
