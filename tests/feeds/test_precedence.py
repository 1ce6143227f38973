"""The real-time priority and the processors of a worker's process, what refuses them, and how long a busy feed
gathers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from feeds.bus.memory import MemoryBus
from feeds.capture.publisher import FeedPublisher
from feeds.heartbeats import Beat, HeartbeatWriter
from feeds.models import WorkerHeartbeat
from feeds.precedence import run_in_real_time, run_on
from tests.feeds.data_path import feed_config

MS = 1_000_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """What the kernel was asked for: (thread, policy, priority)."""
    calls: list[tuple[int, int, int]] = []

    def note(thread: int, policy: int, param: os.sched_param) -> None:
        calls.append((thread, policy, param.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", note)
    return calls


def test_every_thread_of_the_process_gets_it(asked: list[tuple[int, int, int]]) -> None:
    ended = threading.Event()
    other = threading.Thread(target=ended.wait, args=(30,), daemon=True)
    other.start()
    try:
        assert run_in_real_time(7)
    finally:
        ended.set()
    assert {(policy, priority) for _, policy, priority in asked} == {(os.SCHED_RR, 7)}
    assert {os.getpid(), other.native_id} <= {thread for thread, _, _ in asked}


def test_nothing_asked_nothing_done(asked: list[tuple[int, int, int]]) -> None:
    assert run_in_real_time(0)
    assert asked == []


def test_a_refusal_is_said_and_the_worker_runs_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not run_in_real_time(5)
    assert caplog.messages == ["no real-time priority 5: Operation not permitted: CAP_SYS_NICE (MDDS_PRIORITY)"]


def test_a_thread_that_has_just_ended_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "sched_setscheduler", gone)
    assert run_in_real_time(5)


def test_every_thread_of_the_process_runs_on_its_processors_only() -> None:
    """On a process of its own: the kernel is really asked."""
    code = (
        "import os, threading; from feeds.precedence import run_on; e = threading.Event();"
        "t = threading.Thread(target=e.wait, args=(30,)); t.start(); cpu = min(os.sched_getaffinity(0));"
        "assert run_on(()); assert os.sched_getaffinity(t.native_id) == os.sched_getaffinity(0);"
        "assert run_on((cpu,)); assert os.sched_getaffinity(0) == os.sched_getaffinity(t.native_id) == {cpu}; e.set()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_processor_that_is_not_there_is_said_and_the_worker_runs_on(caplog: pytest.LogCaptureFixture) -> None:
    before = os.sched_getaffinity(0)
    assert not run_on((4095,))
    assert os.sched_getaffinity(0) == before
    allowed = ", ".join(map(str, sorted(before)))
    assert caplog.messages == [f"not on processors 4095: Invalid argument (allowed: {allowed}) (MDDS_GATEWAY_CPUS)"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["capture", "publisher", "parser"])
def test_the_setting_reaches_the_process(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[dict[str, Any]] = []
    place = f"feeds.management.commands.run_{kind}.run_workers"
    monkeypatch.setattr(place, lambda _workers, **given: ran.append(given))
    bus = "amqp://guest:guest@127.0.0.1:1/none"
    monkeypatch.setattr(settings, "MDDS", replace(settings.MDDS, bus_url=bus, data_dir=tmp_path, priority=3))
    call_command(f"run_{kind}")
    assert [given["priority"] for given in ran] == [3]


@pytest.mark.django_db
def test_the_gateway_s_settings_reach_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[dict[str, Any]] = []
    place = "subscriptions.management.commands.run_gateway.run_workers"
    monkeypatch.setattr(place, lambda _workers, **given: ran.append(given))
    changed = replace(
        settings.MDDS, bus_url="amqp://guest:guest@127.0.0.1:1/none", data_dir=tmp_path, priority=3, gateway_cpus=(0,)
    )
    monkeypatch.setattr(settings, "MDDS", changed)
    call_command("run_gateway")
    assert [(given["priority"], given["cpus"]) for given in ran] == [(3, (0,))]


@pytest.mark.django_db
def test_a_heartbeat_s_figures_are_stored_as_they_are() -> None:
    writer = HeartbeatWriter(host="here")
    writer._write(
        [Beat("gateway", "g", {"clients": 3, "path": Path("a/b"), "by_code": {4001: 2}, "nested": [{"n": None}]})]
    )
    [row] = WorkerHeartbeat.objects.all()
    assert row.stats == {"clients": 3, "path": "a/b", "by_code": {"4001": 2}, "nested": [{"n": None}]}


@pytest.mark.parametrize(("linger_ms", "busy", "gathered"), [(2, 2, 1), (5, 5, 4), (0, 0, 0)])
def test_a_busy_feed_gathers_as_long_as_it_is_told(linger_ms: int, busy: int, gathered: int, tmp_path: Path) -> None:
    publisher = FeedPublisher(
        feed_config(), MemoryBus(tmp_path, 1), data_dir=tmp_path, prefix=tmp_path.name, linger_ns=linger_ms * MS
    )
    publisher._set_linger(1_000 * MS, 0)
    assert publisher.linger_ns == 0
    for turn in range(50):  # 10 messages a ms
        publisher._set_linger((1_001 + turn) * MS, 10)
    assert publisher.linger_ns == busy * MS
    publisher._gathered = True
    publisher._set_linger(1_051 * MS, 10)
    assert publisher.linger_ns == gathered * MS
    for turn in range(50):
        publisher._set_linger((2_000 + 100 * turn) * MS, 1)
    assert publisher.linger_ns == 0
