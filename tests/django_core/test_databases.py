"""The database URL in Django's terms, and SQLite as it really opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from mdds_site.databases import databases


def test_a_postgresql_url_is_decoded_and_pooled() -> None:
    url = "postgresql://us%40er:p%2Fw@db.example:6543/mdds?sslmode=require"
    default = databases(url, data_dir=Path("/data"))["default"]
    assert (default["USER"], default["PASSWORD"], default["HOST"], default["PORT"], default["NAME"]) == (
        "us@er",
        "p/w",
        "db.example",
        "6543",
        "mdds",
    )
    assert default["CONN_MAX_AGE"] == 0
    assert default["OPTIONS"] == {
        "sslmode": "require",
        "connect_timeout": "5",
        "pool": {"min_size": 1, "max_size": 8, "timeout": 3, "reconnect_timeout": 2},
    }
    assert default["CONN_HEALTH_CHECKS"] is True


@pytest.mark.django_db(transaction=True)
def test_sqlite_opens_in_wal_with_immediate_transactions() -> None:
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        found = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert found == {"journal_mode": "wal", "synchronous": 1}
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
