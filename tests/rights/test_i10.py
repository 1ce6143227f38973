"""I10: entitlements flip at random under a running stream; an oracle finds no record without its right."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from subscriptions.entitlements import Grant
from subscriptions.gateway import rights
from subscriptions.gateway.delay import DelayLine
from subscriptions.gateway.edges import GatewayEdges
from subscriptions.gateway.layer import GatewaySettings
from subscriptions.protocol import ProtocolError
from tests.gateway import cast
from tests.gateway.running import DeadControl, KeyTable, RunningGateway, running
from tests.rights.oracle import History, Received, leaks

SEED = 20261121
RUN_S = 6.0
SYMBOLS = ("FPT", "VNM")
KEYS = 5


class Journal:
    """The journal of changed rights, in memory."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int | None]] = []

    async def __call__(self, after: int | None) -> list[tuple[int, int | None]]:
        return [row for row in list(self.rows) if after is None or row[0] > after - 50]


class Subject:
    """One key with its history, and the client that holds it: it takes whatever it can get, again and again."""

    def __init__(self, number: int, seed: int) -> None:
        self.key_id, self.subscriber_id = f"key{number:05d}", number + 10
        self.random = random.Random(seed)
        self.history = History()
        self.received: list[Received] = []
        self.snapshots = self.resumes = self.closes = 0

    def grant(self) -> Grant | None:
        """A random grant: of some channels and symbols, deep or not, delayed or not; or none."""
        draw = self.random
        if draw.random() < 0.12:
            return None
        rules = []
        for channel in ("trade", "depth"):
            if draw.random() < 0.6:
                late = draw.random() < 0.35
                rules.append(
                    cast.rule(
                        {channel},
                        symbols=draw.choice([None, frozenset({"FPT"}), frozenset({"VNM"})]),
                        level=draw.choice([1, 3, 10]),
                        timeliness="delayed" if late else "realtime",
                        delay_s=1 if late else 0,
                    )
                )
        return cast.grant(*rules, key_id=self.key_id, subscriber_id=self.subscriber_id, subscriber=self.key_id)

    def follow(self, gateway: RunningGateway, until: float) -> None:
        """Connect, subscribe by name or with `*`, with snapshot or resume; begin again when it ends."""
        while time.monotonic() < until:
            try:
                self._session(gateway, until)
            except (ConnectionClosed, TimeoutError, InvalidStatus, OSError):
                self.closes += 1
                time.sleep(0.05)

    def _session(self, gateway: RunningGateway, until: float) -> None:
        client = gateway.connect(self.key_id)
        asked = 0.0
        while time.monotonic() < until:
            if time.monotonic() >= asked:
                asked = time.monotonic() + 0.2
                for channel in ("trade", "depth"):
                    self._subscribe(client, channel)
            try:
                frame = json.loads(client.socket.recv(timeout=0.05))
            except TimeoutError:
                continue
            if isinstance(frame, list):
                self._take(frame)

    def _subscribe(self, client: object, channel: str) -> None:
        """Most are refused: not entitled, or followed already."""
        resume = {}
        for symbol in SYMBOLS:
            last = [one.number for one in self.received if (one.channel, one.symbol) == (channel, symbol)]
            if last and self.random.random() < 0.5:
                resume[symbol] = [cast.EPOCH, max(0, max(last) - 20)]
        symbols = ["*"] if self.random.random() < 0.2 and not resume else list(SYMBOLS)
        self.resumes += bool(resume)
        self.snapshots += not resume
        message = {"op": "sub", "id": 1, "ch": channel, "symbols": symbols} | ({"resume": resume} if resume else {})
        client.send(**message)  # type: ignore[attr-defined]

    def _take(self, frame: list[dict[str, object]]) -> None:
        now_ns = time.time_ns()
        for one in frame:
            levels = max((len(one[side]) for side in ("b", "a") if side in one), default=0)  # type: ignore[arg-type]
            self.received.append(
                Received(now_ns, int(str(one["made"])), str(one["ch"]), str(one["s"]), int(str(one["n"])), levels)
            )


def stream(gateway: RunningGateway, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        number += 1
        made = time.time_ns()
        lines = [cast.trade(name, number, made=made) for name in SYMBOLS]
        lines += [cast.depth(name, number, made=made) for name in SYMBOLS]
        gateway.publish(*lines)
        time.sleep(0.02)


def flip(keys: KeyTable, journal: Journal, subjects: list[Subject], until: float) -> None:
    """A change every 100 ms or so, to one key, each with its line in the journal; sometimes a change back at once."""
    draw = random.Random(SEED)
    while time.monotonic() < until:
        change(keys, journal, draw.choice(subjects))
        time.sleep(draw.uniform(0.02, 0.2))


def change(keys: KeyTable, journal: Journal, subject: Subject) -> None:
    """What was allowed until the change is allowed until after it: the history's time is that of the commit."""
    grant = subject.grant()
    if grant is None:
        keys.ended[subject.key_id] = ProtocolError("KEY_REVOKED", "revoked", fatal=True)
    else:
        keys.grants[subject.key_id] = grant
        keys.ended.pop(subject.key_id, None)
    subject.history.change(time.time_ns(), grant)
    journal.rows.append((len(journal.rows) + 1, subject.subscriber_id))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> list[Subject]:
    """One run with the control layer away: only the journal brings changes. Returns the subjects with what they got."""
    monkeypatch.setattr(rights, "KEYS_PER_ROUND", 0)  # nothing is found by asking in turn
    keys, journal = KeyTable(), Journal()
    keys.grants.clear()
    subjects = [Subject(number, SEED + number) for number in range(KEYS)]
    for subject in subjects:
        keys.grants[subject.key_id] = cast.grant(key_id=subject.key_id, subscriber_id=subject.subscriber_id)
        change(keys, journal, subject)

    async def instruments() -> dict[str, tuple[str, str]]:
        return dict(cast.INSTRUMENTS)

    async def delays() -> list[int]:
        return [1]

    edges = GatewayEdges(keys, instruments, DeadControl(), journal, delays)
    with running(folder, settings=GatewaySettings(flush_ms=5, fill_s=0), edges=edges) as gateway:
        until = time.monotonic() + seconds
        jobs = [threading.Thread(target=stream, args=(gateway, until))]
        jobs.append(threading.Thread(target=flip, args=(keys, journal, subjects, until)))
        jobs += [threading.Thread(target=one.follow, args=(gateway, until)) for one in subjects]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(seconds + 20)
            assert not job.is_alive(), "a thread of the test hangs"
    return subjects


def test_no_record_comes_a_second_after_its_right_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = run(tmp_path, monkeypatch, seconds=RUN_S)
    received = [one for subject in subjects for one in subject.received]
    found = {subject.key_id: leaks(subject.history, subject.received) for subject in subjects}
    assert {key: some[:3] for key, some in found.items() if some} == {}, f"seed {SEED}"
    assert len(received) > 200
    assert {one.channel for one in received} == {"trade", "depth"}
    assert any(one.at_ns - one.made_ns >= 1_000_000_000 for one in received), "something came delayed"
    assert all(sum(getattr(one, name) for one in subjects) for name in ("snapshots", "resumes", "closes"))


def test_a_gateway_that_does_not_take_changes_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights.RightsWatch, "_regrant", lambda self, grant, seats: None)
    subjects = run(tmp_path, monkeypatch, seconds=4.0)
    assert any(leaks(subject.history, subject.received) for subject in subjects), f"seed {SEED}"


def test_a_delay_line_that_is_early_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_time = DelayLine.release
    monkeypatch.setattr(DelayLine, "release", lambda line, delay_s, now_ns: in_time(line, delay_s, now_ns + 2 * 10**9))
    subjects = run(tmp_path, monkeypatch, seconds=4.0)
    assert any(leaks(subject.history, subject.received) for subject in subjects), f"seed {SEED}"
