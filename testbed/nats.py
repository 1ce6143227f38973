"""A private nats-server, for comparisons."""

from __future__ import annotations

import socket

from testbed.process import PrivateService, find_binary

# The server cuts a client that has so much waiting; the benchmark wants everything delivered.
CONFIGURATION = 'listen: "127.0.0.1:{port}"\nmax_pending: 268435456\nping_interval: "10m"\nmax_connections: 20000\n'


class PrivateNats(PrivateService):
    name = "nats"

    def _prepare(self) -> None:
        (self.folder / "nats.conf").write_text(CONFIGURATION.format(port=self.port))

    def _command(self) -> list[str]:
        binary = find_binary("nats-server", package="nats-server", folders=("/usr/sbin",))
        return [binary, "-c", str(self.folder / "nats.conf")]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                return probe.recv(4) == b"INFO"
        except OSError:
            return False
