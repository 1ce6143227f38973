"""A private PostgreSQL cluster in a temporary folder, without durability and under an account that is not root."""

from __future__ import annotations

import os
import pwd
import socket
import struct
import subprocess

from testbed.process import PrivateService, ServiceMissing, ServiceNotStarted, find_binary

BINARIES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql@*/bin")
USER = "mdds"
DATABASE = "mdds"
PROTOCOL_3_0 = 196608

# Speed over safety: the data dies with the test run.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
}


class PrivatePostgreSQL(PrivateService):
    """One cluster; its superuser is `mdds`, connections from loopback are trusted."""

    name = "postgresql"
    start_s_max = 30.0

    @property
    def url(self) -> str:
        """The address of the database made at the first start."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The address of a database of this cluster."""
        return f"postgresql://{USER}:{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database for one test; returns its address."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        self._run([self._binary("createdb"), *where, name])
        return self.url_of(name)

    def start(self) -> None:
        """Start the cluster; the first time it makes the default database too."""
        first = not self._prepared
        super().start()
        if first:
            self.create_database(DATABASE)

    def _prepare(self) -> None:
        account = self._user()
        if account is not None:
            entry = pwd.getpwnam(account)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        data = str(self.folder / "data")
        self._run([self._binary("initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])

    def _command(self) -> list[str]:
        options = [text for key, value in OPTIONS.items() for text in ("-c", f"{key}={value}")]
        place = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port)]
        return [self._binary("postgres"), *place, *options]

    def _user(self) -> str | None:
        if os.geteuid() != 0:
            return None
        for account in ("postgres", "nobody"):  # initdb refuses to run as root
            try:
                pwd.getpwnam(account)
            except KeyError:
                continue
            return account
        raise ServiceMissing("PostgreSQL does not run as root and there is no account postgres or nobody")

    def _answers(self) -> bool:
        # While it recovers from a crash the server takes the connection and then refuses the start-up packet, so ask
        # for a session: 'R' (authentication) means ready, 'E' means starting up.
        parameters = b"user\x00" + USER.encode() + b"\x00database\x00postgres\x00\x00"
        packet = struct.pack("!ii", 8 + len(parameters), PROTOCOL_3_0) + parameters
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as probe:
                probe.sendall(packet)
                return probe.recv(1) == b"R"
        except OSError:
            return False

    def _binary(self, name: str) -> str:
        return find_binary(name, package="postgresql", folders=BINARIES)

    def _run(self, command: list[str]) -> None:
        account = self._user()
        done = subprocess.run(
            command,
            cwd=self.folder,
            user=account,
            group=account,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise ServiceNotStarted(f"{' '.join(command)}: {done.stderr.strip()}")
