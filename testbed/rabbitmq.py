"""A private RabbitMQ node: own name, cookie, epmd, ports and data, whatever else runs on the machine."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from testbed.ports import free_port
from testbed.process import PrivateService, find_binary
from testbed.rabbitmq_tree import slim_tree

SCRIPTS = ("/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/*/sbin", "/opt/rabbitmq/sbin")
USER = "mdds"
PASSWORD = "mdds"
VHOST = "mdds"
# Busy waiting of the Erlang schedulers eats a small machine; with two processors for everything, a second scheduler
# does not make the broker faster, and waking each other costs the two a fifth more (docs/benchmarks.md).
# Deleting a segment of 4,096 RAW messages (120 MB) holds its queue for 20 ms and more; one of 256 for a millisecond.
ERLANG_FLAGS = "+sbwt none +sbwtdcpu none +sbwtdio none -rabbit classic_queue_index_v2_segment_entry_count 256" + (
    " +S 1:1" if (os.cpu_count() or 1) <= 2 else ""
)
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
loopback_users = none
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
log.file = false
heartbeat = 10
# A RAW message (120 KB at most) is written by its queue itself; through the store that all queues share it costs the
# broker a sixth more, and the store's tidying up holds it for tens of ms (docs/benchmarks.md).
queue_index_embed_msgs_below = 262144
"""


class ControlFailed(RuntimeError):
    """`rabbitmqctl` ended with an error."""


class _Epmd(PrivateService):
    """The node's own port mapper. In the foreground, so that no daemon is left when we end."""

    name = "epmd"

    def _command(self) -> list[str]:
        binary = find_binary("epmd", package="erlang-base", folders=("/usr/bin", "/usr/lib/erlang/erts-*/bin"))
        return [binary, "-port", str(self.port), "-address", "127.0.0.1"]

    def _answers(self) -> bool:
        return _connects(self.port)


class PrivateRabbitMQ(PrivateService):
    """One broker node. The pid is the Erlang VM's: `kill()` is a crash of the broker, `pause()` freezes it."""

    name = "rabbitmq"
    start_s_max = 90.0

    def __init__(self, folder: Path | None = None, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.node = f"mdds{self.port}@localhost"
        self._distribution_port = free_port()
        self._epmd = _Epmd(self.folder)
        self._tree: dict[str, str] = {}

    @property
    def url(self) -> str:
        """`amqp://user:password@host:port/vhost`."""
        return self.url_of(VHOST)

    def url_of(self, vhost: str) -> str:
        """The address of another virtual host of this node."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{vhost}"

    def add_vhost(self, vhost: str) -> str:
        """Create a virtual host for one test; returns its address."""
        self.ctl("add_vhost", vhost)
        self.ctl("set_permissions", "-p", vhost, USER, ".*", ".*", ".*")
        return self.url_of(vhost)

    def ctl(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run `rabbitmqctl` against this node; returns what it printed."""
        command = [_script("rabbitmqctl"), "-n", self.node, "-q"]
        done = subprocess.run(
            [*command, *arguments], env=self._environment(), capture_output=True, text=True, timeout=timeout_s
        )
        if done.returncode != 0:
            raise ControlFailed(f"rabbitmqctl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def write_down(self) -> None:
        """Have the broker write what it holds back in its tables. RabbitMQ 3.10 writes the name of its stream
        coordinator seconds after the first stream was declared; killed before, it never opens a stream again."""
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def start(self) -> None:
        """Start epmd, then the node."""
        self._epmd.start()
        super().start()

    def close(self) -> None:
        """Stop both for good and remove the data."""
        self._epmd.close()
        super().close()

    def _prepare(self) -> None:
        (self.folder / "home").mkdir()
        cookie = self.folder / "home" / ".erlang.cookie"
        cookie.write_text(f"mdds{os.urandom(12).hex()}")
        cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            CONFIGURATION.format(port=self.port, user=USER, password=PASSWORD, vhost=VHOST)
        )
        (self.folder / "env.conf").write_text("")
        self._tree = slim_tree(Path(_script("rabbitmq-server")), self.folder / "tree")

    def _command(self) -> list[str]:
        if self._tree:
            return [f"{self._tree['RABBITMQ_SCRIPTS_DIR']}/rabbitmq-server"]
        return [_script("rabbitmq-server")]

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return {
            **kept,
            **self._tree,
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_FLAGS,
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": "/dev/null",
            # Makes the script exec the Erlang VM instead of staying in front of it: the pid is the VM's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _answers(self) -> bool:
        # A broker that boots accepts late and answers the protocol header with Connection.Start.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as probe:
                probe.sendall(AMQP_HEADER)
                return probe.recv(1) == b"\x01"
        except OSError:
            return False


def _script(name: str) -> str:
    """RabbitMQ's own script, not Debian's wrapper: that one changes to the rabbitmq account."""
    return find_binary(name, package="rabbitmq-server", folders=SCRIPTS)


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
