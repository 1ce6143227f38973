"""A portal of its own for the browser: a data folder, a database, uvicorn in a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from testbed.system import ROOT, make_tables

USER, PASSWORD = "olga", "correct horse battery"

_SEED = f"""
from django.contrib.auth.models import User
from feeds.models import Exchange, Feed, Line
User.objects.create_superuser({USER!r}, password={PASSWORD!r})
exchange = Exchange.objects.create(code="HOSE", name="HOSE")
feed = Feed.objects.create(name="STO", exchange=exchange, markets=["STO"])
for name, port in (("A", 9001), ("B", 9002)):
    Line.objects.create(feed=feed, name=name, group="239.255.1.1", port=port)
"""


class PortalSite:
    """The portal alone, as a process that a test may stop and start again."""

    def __init__(self, folder: Path, *, base_port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{base_port}"
        self._port = base_port
        self._environment = {**os.environ, "MDDS_DATA": str(folder), "MDDS_PORT": str(base_port)}
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """A migrated database with a superuser and one feed."""
        make_tables(self._environment)
        self.shell(_SEED)

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self._environment, check=True, capture_output=True, timeout=90)

    def shell(self, code: str) -> None:
        """Run `code` inside the site."""
        self.manage("shell", "--verbosity=0", "-c", code)

    def start(self) -> None:
        """Serve; returns when the login page answers."""
        command = [sys.executable, "-m", "uvicorn", "mdds_site.asgi:application", "--port", str(self._port)]
        with (self.folder / "portal.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "warning"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/portal/login/", timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "portal.log").read_text()) from None
                time.sleep(0.1)

    def stop(self) -> None:
        """End the process, and wait for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
