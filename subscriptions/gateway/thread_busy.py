"""How long a thread has been busy: with a processor, or waiting for one.

A thread that wants to go on and gets no processor has as little time left as one that calculates: what it serves queues
alike. Linux counts the wait (/proc/<pid>/schedstat: CPU time, wait, slices; in ns); elsewhere CPU time is all we know.
"""

from __future__ import annotations

import os
import time

SCHEDSTAT = "/proc/thread-self/schedstat"


class ThreadBusy:
    """Of the thread that makes it, and is read by that thread only."""

    def __init__(self, path: str = SCHEDSTAT) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """Since some moment in the past. The kernel's own CPU figure lags a tick behind, so it is not taken."""
        return time.thread_time() + self._waited_s()

    def close(self) -> None:
        """Give the file back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _waited_s(self) -> float:
        if self._file < 0:
            return 0.0
        try:
            return int(os.pread(self._file, 100, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):  # a system that shows the file and does not count
            self.close()
            return 0.0
