"""Runs a soak: start, harm, watch, heal, judge."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

from benches.soak.options import Options, parse
from benches.soak.run import Run
from benches.soak.stand import Stand, Stopped

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """0: clean. 1: a violation. 130: interrupted."""
    options = parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    folder = options.keep or Path(tempfile.mkdtemp(prefix="mdds-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("aio_pika", "aiormq"):  # the broker's deaths are ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", RuntimeWarning)
    print(
        f"soak: seed {options.seed}, {options.seconds / 60:g} minutes at {options.rate:,} messages/s, "
        f"faults: {', '.join(options.faults) or 'none'}",
        flush=True,
    )
    began = time.monotonic()
    try:
        found = soak(options, folder, stop)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    took_s = time.monotonic() - began
    for text in found:
        print(f"VIOLATION {text}")
    if stop.is_set() and not found:
        print(f"interrupted after {took_s:.0f} s, no violation so far; seed {options.seed}")
        return INTERRUPTED
    print(f"{'FAILED' if found else 'clean'}: {len(found)} violations in {took_s:.0f} s; seed {options.seed}")
    return 1 if found else 0


def soak(options: Options, folder: Path, stop: threading.Event) -> list[str]:
    """The violations of one run; everything it started is ended when it returns."""
    stand = Stand(folder, options)
    try:
        known = stand.start(stop)
        run = Run(stand, known, stop)
        with contextlib.closing(run):
            try:
                found = run.judge() if run.carry_on() else run.violations
            except Exception:
                if not stop.is_set():  # else it is no wonder that something was cut off
                    raise
                found = run.violations
            run.summary()
            return found
    except Stopped:
        return []
    finally:
        stand.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
