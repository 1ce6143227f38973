"""The channel `raw`: every message of the exchange reaches a client byte for byte, once, in its stream's order."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from testbed.system import ROOT, System
from tests.end_to_end.follower import Follower, Record
from tests.end_to_end.traffic import Traffic

SETTINGS = [
    pytest.param("embedded", marks=pytest.mark.slow),
    pytest.param("distributed", marks=[pytest.mark.services, pytest.mark.slow]),
]
RATE = 500
ARRIVED_S_MAX = 30.0


@pytest.fixture(params=SETTINGS)
def system(request: pytest.FixtureRequest) -> System:
    found: System = request.getfixturevalue(request.param)
    return found


def wait_until_raw_comes(system: System, follower: Follower) -> None:
    """The gateway's own queue is bound when the first message comes; what was sent before is nobody's."""
    deadline = time.monotonic() + ARRIVED_S_MAX
    while not follower.count:
        assert time.monotonic() < deadline, "no raw record"
        system.manage("run_simulator", "--feed", "UPX", "--symbols", "2", "--count", "30", "--quiet")
    follower.wait_until_quiet(idle_s=0.5, timeout_s=10)


def test_every_message_byte_for_byte(system: System, truth_path: Path, seed: int) -> None:
    with Follower(system, channels=("raw",)) as follower:
        wait_until_raw_comes(system, follower)
        before = follower.count
        truth = Traffic(system, "STO", truth_path, rate=RATE, seed=seed, seconds=3).wait()
        follower.wait_for_count(before + len(truth), timeout_s=ARRIVED_S_MAX)
        follower.wait_until_quiet(idle_s=0.5, timeout_s=10)
        records = [record for record in follower.records() if record["m"] == "STO"]
    assert len(truth) > RATE
    assert Counter(base64.b64decode(record["data"]) for record in records) == Counter(one.data for one in truth)
    assert numbering_faults(records) == []
    assert {record["s"] for record in records} > {"VNINDEX"}
    assert follower.notices == []


def numbering_faults(records: list[Record]) -> list[Record]:
    """Records whose number does not follow on the one before it in their stream."""
    last: dict[tuple[str, str], int] = defaultdict(int)
    faults = []
    for record in records:
        stream = (record["s"], record["ep"])
        if int(record["n"]) != last[stream] + 1:
            faults.append(record)
        last[stream] = int(record["n"])
    return faults


def test_the_command_shows_them(system: System, truth_path: Path, seed: int) -> None:
    command = [sys.executable, "-m", "mdds_client", "sub", "*", "--ch", "raw", "--json", "--count", "40"]
    environ = {**os.environ, "MDDS_URL": system.stream_url, "MDDS_API_KEY": system.key}
    process = subprocess.Popen(command, cwd=ROOT / "client" / "src", env=environ, stdout=subprocess.PIPE, text=True)
    try:
        traffic = Traffic(system, "STX", truth_path, rate=RATE, seed=seed)
        printed, _ = process.communicate(timeout=ARRIVED_S_MAX)
        truth = traffic.stop()
    finally:
        process.kill()
    sent = {one.data for one in truth}
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 40
    assert all(base64.b64decode(line["data"]) in sent for line in lines if line["m"] == "STX")
    assert {line["m"] for line in lines} == {"STX"}
