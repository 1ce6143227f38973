"""The private services answer where they say, survive what a test does to them and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from testbed.ports import PORT_MAX, PORT_MIN, SYSTEM_OFFSETS, claim, free_base_port, is_free
from testbed.postgresql import PrivatePostgreSQL
from testbed.process import ServiceMissing, ServiceNotStarted, find_binary
from testbed.rabbitmq import ControlFailed, PrivateRabbitMQ
from testbed.rabbitmq_tree import slim_tree
from testbed.redis import PrivateRedis

ROOT = Path(__file__).resolve().parents[2]


def _alive(pid: int) -> bool:
    """True while the process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_rabbitmq_speaks_amqp_and_knows_its_vhost(rabbitmq: PrivateRabbitMQ) -> None:
    assert rabbitmq.url == f"amqp://mdds:mdds@127.0.0.1:{rabbitmq.port}/mdds"
    assert Path(f"/proc/{rabbitmq.pid}/comm").read_text().strip() == "beam.smp"
    assert "mdds" in rabbitmq.ctl("list_vhosts", "name").split()[1:]  # other tests of the session may have their own


def test_rabbitmq_ctl_says_why_it_failed(rabbitmq: PrivateRabbitMQ) -> None:
    with pytest.raises(ControlFailed, match=r"delete_vhost nowhere: .*does not exist"):
        rabbitmq.ctl("delete_vhost", "nowhere")


@pytest.mark.slow
def test_killed_rabbitmq_comes_back_on_its_port_with_its_data(rabbitmq: PrivateRabbitMQ) -> None:
    rabbitmq.add_vhost("kept")
    before, port = rabbitmq.pid, rabbitmq.port
    rabbitmq.kill()
    assert not _alive(before)
    rabbitmq.start()
    assert (rabbitmq.port, rabbitmq.running) == (port, True)
    assert "kept" in rabbitmq.ctl("list_vhosts", "name").split()
    rabbitmq.ctl("delete_vhost", "kept")


def test_redis_comes_back_empty(redis_server: PrivateRedis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("price", "98500")
        assert client.get("price") == b"98500"
    redis_server.kill()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("price") is None


def test_paused_redis_says_nothing_until_resumed(redis_server: PrivateRedis) -> None:
    redis_server.pause()
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=0.2) as client:
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(16)
        redis_server.resume()
        client.settimeout(5.0)
        assert client.recv(16) == b"+PONG\r\n"


def test_postgresql_keeps_committed_rows_through_a_kill(postgresql: PrivatePostgreSQL) -> None:
    url = postgresql.create_database("through_a_kill")
    with psycopg.connect(url) as connection:
        connection.execute("create table tick (price int)")
        connection.execute("insert into tick values (98500)")
    with psycopg.connect(url) as connection:
        connection.execute("checkpoint")
    postgresql.kill()
    postgresql.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("select price from tick").fetchall() == [(98500,)]


def test_a_service_is_running_again_after_a_test_that_stopped_it(redis_server: PrivateRedis) -> None:
    redis_server.stop()
    assert not redis_server.running
    redis_server.ensure_running()
    assert redis_server.running


def test_nothing_is_left_when_the_owner_is_killed() -> None:
    program = (
        "import time\n"
        "from testbed.redis import PrivateRedis\n"
        "server = PrivateRedis()\n"
        "server.start()\n"
        "print(server.pid, server.folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid_text, folder = owner.stdout.readline().split()
    pid = int(pid_text)
    assert _alive(pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait(5)
    owner.stdout.close()
    deadline = time.monotonic() + 5
    while (_alive(pid) or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (_alive(pid), Path(folder).exists()) == (False, False)


def test_a_server_that_ends_at_start_shows_its_log() -> None:
    server = PrivateRedis()
    server._command = lambda: ["/bin/sh", "-c", "echo no such luck >&2; exit 3"]  # type: ignore[method-assign]
    with pytest.raises(ServiceNotStarted, match=r"redis ended at start on port \d+:\nno such luck"):
        server.start()
    server.close()
    assert not server.folder.exists()


def test_a_missing_binary_names_the_package() -> None:
    with pytest.raises(ServiceMissing, match="apt-get install some-package"):
        find_binary("no-such-binary-anywhere", package="some-package")


def test_a_base_port_has_all_its_ports_free() -> None:
    base = free_base_port()
    assert PORT_MIN <= base <= PORT_MAX
    assert all(is_free(base + offset) for offset in SYSTEM_OFFSETS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", base + 100))
        assert not is_free(base + 100)


def test_ports_are_not_given_to_two_runs_of_the_tests() -> None:
    base = free_base_port()
    code = f"from testbed.ports import claim; print(claim({base}), claim({base + 199}))"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout == "False False\n"
    assert claim(base)


def test_postgresql_does_not_run_as_root(postgresql: PrivatePostgreSQL) -> None:
    assert os.stat(f"/proc/{postgresql.pid}").st_uid != 0  # noqa: PTH116


def test_a_foreign_packaging_is_used_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "elsewhere" / "rabbitmq-server"
    script.parent.mkdir()
    script.touch()
    assert slim_tree(script, tmp_path / "tree") == {}
    assert not (tmp_path / "tree").exists()
