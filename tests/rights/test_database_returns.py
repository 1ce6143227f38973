"""A database that was away is found again soon, however long it was away: by the pool as the service has it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.db import Error
from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker

from mdds_site.databases import databases
from testbed.postgresql import PrivatePostgreSQL

pytestmark = pytest.mark.services

OUTAGE_S = 17.0  # a pool that doubles its waits looks 1, 3, 7 and 15 s after the first failure, then at 31 s
FOUND_S_MAX = 6.0
POLL_S = 0.5  # as the gateway reads the journal of rights


def answers(handler: ConnectionHandler) -> bool:
    """One question as a thread of the gateway asks it, with a connection of the pool."""
    connection = handler["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except Error:
        return False
    finally:
        connection.close()


def test_it_is_found_within_two_looks_of_the_pool(
    postgresql: PrivatePostgreSQL, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    url = postgresql.create_database(f"returns_{os.getpid()}")
    handler = ConnectionHandler(databases(url, data_dir=tmp_path))
    with django_db_blocker.unblock():
        try:
            assert answers(handler)
            postgresql.kill()
            until_s = time.monotonic() + OUTAGE_S
            while time.monotonic() < until_s:
                assert not answers(handler)
                time.sleep(POLL_S)
            postgresql.start()
            began_s = time.monotonic()
            while not answers(handler):
                assert time.monotonic() - began_s < 30, "it is not found at all"
                time.sleep(POLL_S)
            assert time.monotonic() - began_s < FOUND_S_MAX
        finally:
            postgresql.ensure_running()
            handler["default"].close_pool()
