"""Carries out the timeline's events on the stand, in a thread of its own: a broker takes seconds to come back.

The thread stays until `close`: the workers it started get SIGKILL when the thread that started them ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from benches.soak.client import SoakClient
from benches.soak.stand import Stand
from benches.soak.timeline import QUIET_S, Event

HEAL_S_MAX = 120.0
SHORT_S = 0.5  # between a worker's death and its next start


class Faults(threading.Thread):
    """`now` says what is going on; `kills` gets the times at which a capture was killed."""

    def __init__(self, stand: Stand, events: Sequence[Event], *, kills: list[int], client: SoakClient) -> None:
        super().__init__(name="faults", daemon=True)
        self.stand = stand
        self.events = events
        self.kills = kills
        self.client = client
        self.now = "none"
        self.done: dict[str, int] = {}
        self.busy: set[str] = set()  # workers that are dead on purpose
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._healed = threading.Event()
        self._over = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        try:
            for event in self.events:
                # The last one may have taken longer than planned: a broker's start on a loaded machine.
                if self._stopping.wait(max(QUIET_S[0], began + event.at_s - time.monotonic())):
                    break
                self.now = f"{event.name} ({event.lasts_s:.0f} s)"
                self._carry_out(event)
                self.done[event.name] = self.done.get(event.name, 0) + 1
                self.now = "none"
        except BaseException as error:
            self.failure = error
        self._healed.set()
        self._over.wait()

    def stop(self) -> None:
        """No further event; returns when the one that goes on is over and everything runs again."""
        self._stopping.set()
        self._healed.wait(HEAL_S_MAX)

    def close(self) -> None:
        """End the thread, and with it the workers it started."""
        self._over.set()
        self.join(HEAL_S_MAX)

    def _carry_out(self, event: Event) -> None:
        if event.name in ("capture", "publisher", "parser", "gateway"):
            self._kill(event)
        elif event.name == "broker":
            self.stand.broker.kill()
            self._stopping.wait(event.lasts_s)
            self.stand.broker.start()
        elif event.name == "broker-pause":
            self.stand.broker.pause()
            self._stopping.wait(event.lasts_s)
            self.stand.broker.resume()
        else:
            self._harm_lines(event)

    def _kill(self, event: Event) -> None:
        name = "parser-1" if event.name == "parser" and event.line else event.name
        self.busy.add(name)
        if name == "capture":
            self.stand.note_kernel_drops()
            self.kills.append(time.time_ns())
        self.stand.kill(name)
        if name == "gateway":
            self.client.gateway_died()
        self._stopping.wait(SHORT_S)
        self.stand.start_worker(name)
        self.busy.discard(name)
        self._stopping.wait(event.lasts_s)

    def _harm_lines(self, event: Event) -> None:
        shares: tuple[dict[str, float], dict[str, float]] = ({}, {})
        if event.name == "loss":
            shares[event.line]["loss"] = event.share
        else:
            for line in shares:
                line[event.name.replace("-", "_")] = event.share
        self.stand.set_faults(*shares)
        self._stopping.wait(event.lasts_s)
        self.stand.set_faults({}, {})
