"""Gives the capture threads the processors and the priority they were promised, as far as the system lets us."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from feeds.precedence import keep_on

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tuning:
    """`cpus`: the processors to run on (empty: any). `priority`: SCHED_FIFO 1 to 99 (0: the ordinary scheduler)."""

    cpus: tuple[int, ...] = ()
    priority: int = 0


def tune(threads: Iterable[threading.Thread], tuning: Tuning) -> list[str]:
    """Apply `tuning` to running threads. Returns what was refused; a capture that runs untuned is better than none."""
    refused: list[str] = []
    for thread in threads:
        ident = thread.native_id
        if ident is None:
            continue
        if tuning.cpus:
            refusal = keep_on(tuning.cpus, ident)
            if refusal:
                refused.append(f"{thread.name}: {refusal}")
        if tuning.priority:
            try:
                os.sched_setscheduler(ident, os.SCHED_FIFO, os.sched_param(tuning.priority))
            except OSError as error:
                refused.append(
                    f"{thread.name}: no real-time priority {tuning.priority}: {error.strerror}: CAP_SYS_NICE"
                )
    for text in refused:
        log.warning("%s", text)
    return refused
