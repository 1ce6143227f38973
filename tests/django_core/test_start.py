"""Starting: `manage.py check` tells what is wrong, and nothing starts with a bad setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def manage(data: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env | {"MDDS_DATA": str(data)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_names_every_bad_variable_without_a_traceback(tmp_path: Path) -> None:
    done = manage(tmp_path, "manage.py", "check", MDDS_PORT="eighty", MDDS_BUS="http://u:pw@broker")
    assert done.returncode == 1
    assert "MDDS_PORT is 'eighty'" in done.stderr
    assert "Expected a whole number from 1024 to" in done.stderr
    assert "MDDS_BUS is 'http://u:***@broker'" in done.stderr
    assert "(mdds.E001)" in done.stderr
    assert "(mdds.E002)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_and_celery_refuse_to_start(tmp_path: Path) -> None:
    done = manage(tmp_path, "manage.py", "migrate", MDDS_PARTITIONS="0")
    assert (done.returncode, "MDDS_PARTITIONS is '0'" in done.stderr) == (1, True)
    assert "Applying" not in done.stdout
    worker = ["-m", "celery", "-A", "mdds_site.celery", "worker", "--pool", "solo"]
    done = manage(tmp_path, *worker, MDDS_PARTITIONS="0")
    assert (done.returncode, "MDDS_PARTITIONS='0': expected" in done.stderr) == (1, True)


def test_the_asgi_application_refuses_to_start(tmp_path: Path) -> None:
    done = manage(tmp_path, "-c", "import mdds_site.asgi", MDDS_PORT="1")
    assert done.returncode == 1
    assert "MDDS cannot start, 1 bad setting(s):\n  MDDS_PORT='1': expected" in done.stderr


def test_check_deploy_is_clean_with_tls(tmp_path: Path) -> None:
    done = manage(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", MDDS_TLS="1", MDDS_DEBUG="0")
    assert done.returncode == 0, done.stderr
