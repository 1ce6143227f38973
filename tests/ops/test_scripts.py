"""The scripts of bin/ refuse what they cannot do in one clear line, from any folder."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("bin/run", "bin/test", "bin/lint", "bin/bench", ".ci/run")


def run(script: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return subprocess.run(
        [str(ROOT / script), *arguments], cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=60
    )


def test_help_comes_first_and_costs_nothing(tmp_path: Path) -> None:
    done = run("bin/run", "--help", cwd=tmp_path, HOME=str(tmp_path), PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: bin/run [--port N]")
    for promised in ("login: USER PASSWORD", "key: KEY", "try: COMMAND", "portal: URL", "stream: URL"):
        assert promised in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--prot", "8000"], "unknown option --prot"),
        (["8000"], "unknown option 8000"),
        (["--port"], "--port needs a value"),
        (["--port", "eight"], "--port eight: expected a whole number from 1024 to 65135"),
        (["--port", "80"], "--port 80: expected a whole number from 1024 to 65135"),
        (["--port", "65136"], "--port 65136: expected a whole number from 1024 to 65135"),
        (["--port=-1"], "--port -1: expected a whole number from 1024 to 65135"),
        (["--port", "99999999999999999999"], "--port 99999999999999999999: expected a whole number"),
        (["--rate", "0"], "--rate 0: expected a whole number from 1 to 1000000"),
        (["--rate", "1e3"], "--rate 1e3: expected a whole number"),
        (["--data", "/dev/null/x"], "--data /dev/null/x: cannot make this folder"),
    ],
)
def test_a_bad_option_is_named_in_one_line(tmp_path: Path, arguments: list[str], named: str) -> None:
    done = run("bin/run", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bin/run: {named}")
    assert done.stderr.count("\n") == 1


def test_a_bad_port_in_the_environment_is_named_too(tmp_path: Path) -> None:
    done = run("bin/run", cwd=tmp_path, MDDS_PORT="http")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--port http: expected" in done.stderr


def test_a_port_in_use_is_one_clear_line(tmp_path: Path, base_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base_port))
        taken.listen()
        done = run("bin/run", "--port", str(base_port), "--data", str(tmp_path / "data"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"bin/run: port {base_port} on 127.0.0.1 is in use; choose another: bin/run --port N\n")


def test_the_multicast_check_agrees_with_a_real_group(base_port: int) -> None:
    done = subprocess.run([sys.executable, str(ROOT / "bin" / "check_multicast.py"), str(base_port)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        try:
            group = socket.inet_aton("239.253.1.1") + socket.inet_aton("127.0.0.1")
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            joins = True
        except OSError:
            joins = False
    assert (done.returncode == 0) == joins


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_posix_sh_and_executable(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")
    parsed = subprocess.run(["/bin/sh", "-n", str(path)], capture_output=True, text=True)
    assert (parsed.returncode, parsed.stderr) == (0, "")


def test_the_makefile_calls_scripts_that_exist() -> None:
    called = set(re.findall(r"^\t(bin/\w+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"bin/run", "bin/test", "bin/lint", "bin/bench"} <= called
    assert all(os.access(ROOT / script, os.X_OK) for script in called)


def test_missing_services_are_named_in_one_line(tmp_path: Path) -> None:
    # A PATH without apt-get, Redis and a browser, as on a machine that is not Debian.
    for tool in ("dirname", "id", "tr", "ls", "sh", "cat", "sed"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    done = run("bin/test", cwd=tmp_path, PATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert re.match(
        r"bin/test: missing: .*redis-server .*chromium; install them first \(on Debian, as root", done.stderr
    )


def test_the_streams_of_tests_end_with_one_summary(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(
        '<testsuites><testsuite><testcase classname="tests.feeds.test_a" name="test_b">'
        '<failure message="assert 1 == 2&#10;more"/></testcase>'
        '<testcase classname="tests.c" name="d"/></testsuite></testsuites>'
    )
    script = [sys.executable, str(ROOT / "bin" / "test_summary.py"), str(time.time())]
    files = [str(tmp_path / name) for name in ("one.xml", "two.xml")]
    done = subprocess.run([*script, *files], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "FAILED tests/feeds/test_a.py::test_b - assert 1 == 2" in lines
    assert [line for line in lines if line.startswith("ERROR two: it wrote no result")]
    assert " 1 failed, 1 passed, 1 error in " in lines[-1]
