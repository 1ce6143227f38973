"""Turns the database URL into Django's DATABASES."""

import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728;"
)
# The pool doubles its wait between two attempts to connect for as long as it goes on trying, five minutes by default: a
# database that was away for a minute would be found after another one. So it gives up after 2 s, and whoever asks next
# makes it try again; nobody waits much longer for a connection than the attempts last.
POOL = {"min_size": 1, "max_size": 8, "timeout": 3, "reconnect_timeout": 2}


def databases(url: str, *, data_dir: Path) -> dict[str, dict[str, object]]:
    """SQLite in the data folder for "sqlite", else PostgreSQL through psycopg's pool."""
    return {"default": _sqlite(data_dir) if url == "sqlite" else _postgresql(url)}


def _sqlite(data_dir: Path) -> dict[str, object]:
    """WAL and IMMEDIATE: with Django's defaults a third of concurrent transactions fail with "database is locked"."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": data_dir / "mdds.sqlite3",
        # A thread keeps its connection: the last one that closes writes the whole log back and syncs, which a gateway
        # that asks twice a second would do twice a second.
        "CONN_MAX_AGE": None,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 10, "init_command": SQLITE_PRAGMAS},
        # A file of its own for each test run: threads need a database they can share, runs must not.
        "TEST": {"NAME": Path(tempfile.gettempdir()) / f"mdds-test-{os.getpid()}.sqlite3"},
    }


def _postgresql(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    options: dict[str, object] = dict(parse_qsl(parts.query))
    options.setdefault("connect_timeout", "5")
    options["pool"] = dict(POOL)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or 5432),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,  # of each connection taken from the pool: none is left over from before a restart
        "OPTIONS": options,
    }
