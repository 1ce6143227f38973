"""Gives a process the real-time priority and the processors it was promised, as far as the system lets us.

Theory: on a machine with few processors most of a message's time in the data path is waiting for one, behind work that
may wait (a portal page, a report, another tenant's job). A process with a real-time priority gets a processor at once.
The kernel keeps 5 % of each for the others whatever we do (sched_rt_runtime_us). A process with a processor of its own
also keeps what it has in that processor's cache, and others do not wait behind it for theirs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger(__name__)


def run_in_real_time(priority: int, pid: int = 0) -> bool:
    """Put every thread of `pid` (0: ours) under SCHED_RR with `priority` 1 to 99; with 0 nothing is changed. False,
    and a warning, when the system refuses: a worker that waits for its turn is better than none."""
    if not priority:
        return True
    try:
        for thread in Path(f"/proc/{pid or 'self'}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))
    except OSError as error:
        log.warning("no real-time priority %d: %s: CAP_SYS_NICE (MDDS_PRIORITY)", priority, error.strerror)
        return False
    return True


def run_on(cpus: Collection[int], pid: int = 0) -> bool:
    """Let every thread of `pid` (0: ours) run on these processors only; with none nothing is changed. False, and a
    warning, when the system refuses."""
    if not cpus:
        return True
    for thread in Path(f"/proc/{pid or 'self'}/task").iterdir():
        refusal = keep_on(cpus, int(thread.name))
        if refusal:
            log.warning("%s (MDDS_GATEWAY_CPUS)", refusal)
            return False
    return True


def keep_on(cpus: Collection[int], thread: int) -> str:
    """Let one thread run on these processors only; empty, or why the system refuses."""
    try:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(thread, cpus)
    except OSError as error:
        wanted, allowed = (", ".join(map(str, sorted(some))) for some in (cpus, os.sched_getaffinity(0)))
        return f"not on processors {wanted}: {error.strerror} (allowed: {allowed})"
    return ""
