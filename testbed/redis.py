"""A private Redis: one process, nothing written to disk."""

from __future__ import annotations

import socket

from testbed.process import PrivateService, find_binary


class PrivateRedis(PrivateService):
    """One Redis server with the usual 16 databases. A killed one comes back empty, as an unsaved Redis does."""

    name = "redis"
    start_s_max = 15.0

    @property
    def url(self) -> str:
        """The address of database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The address of one of the 16 databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def _command(self) -> list[str]:
        binary = find_binary("redis-server", package="redis-server")
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "appendonly": "no"}
        return [binary, *(text for key, value in options.items() for text in (f"--{key}", str(value)))]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
