"""The audit trail: only appended to, and every change of an old row is found."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from subscriptions import audit
from subscriptions.models import AuditEntry
from subscriptions.models.audit_entry import AuditAppendOnly

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain() -> list[AuditEntry]:
    when = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    return [
        audit.append("x.add", "one", who="alice", change=(None, {"a": Decimal("1.5"), "at": when})),
        audit.append("x.change", "one", who="bob", change=({"a": 1}, {"a": 2}), address="10.0.0.1", reason="é"),
        audit.append("x.delete", "one", who="alice", change=({"a": 2}, None)),
    ]


def verified() -> str:
    out = StringIO()
    call_command("audit", "verify", stdout=out)
    return out.getvalue()


def tamper(sql: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_a_whole_chain_verifies_from_the_stored_rows(chain: list[AuditEntry]) -> None:
    assert verified() == "audit trail whole: 3 entries\n"
    assert [entry.previous for entry in chain] == [audit.FIRST, chain[0].digest, chain[1].digest]


@pytest.mark.parametrize(
    "change",
    ["who = 'eve'", "reason = ''", "after = NULL", "address = NULL", "what = 'x.y'", "at = '2026-11-20 00:00:00'"],
)
def test_a_changed_row_is_found(chain: list[AuditEntry], change: str) -> None:
    tamper(f"UPDATE subscriptions_auditentry SET {change} WHERE id = %s", chain[1].pk)
    with pytest.raises(CommandError, match=f"entry {chain[1].pk}: its content does not match"):
        verified()


def test_a_removed_row_is_found(chain: list[AuditEntry]) -> None:
    tamper("DELETE FROM subscriptions_auditentry WHERE id = %s", chain[1].pk)
    with pytest.raises(CommandError, match=f"entry {chain[2].pk}: does not follow"):
        verified()


@pytest.mark.django_db(transaction=True)
def test_parallel_appends_make_one_chain() -> None:
    def append_some(who: str) -> None:
        for number in range(5):
            audit.append("x.add", str(number), who=who)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append_some, ["alice", "bob", "charlie", "dora"]))
    assert verified() == "audit trail whole: 20 entries\n"


def test_rows_cannot_be_changed_or_deleted_in_python(chain: list[AuditEntry]) -> None:
    with pytest.raises(AuditAppendOnly):
        chain[0].save()
    with pytest.raises(AuditAppendOnly):
        chain[0].delete()
    with pytest.raises(AuditAppendOnly):
        AuditEntry.objects.all().delete()
    with pytest.raises(AuditAppendOnly):
        AuditEntry.objects.filter(who="alice").update(who="bob")
    assert verified() == "audit trail whole: 3 entries\n"
