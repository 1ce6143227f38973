"""The journal of changed rights: written with the change or not at all, and read so that nothing is missed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone

from subscriptions import rights_changes
from subscriptions.models import RightsChange
from tests.django_core.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def since(number: int) -> list[tuple[str, int | None]]:
    return list(RightsChange.objects.filter(pk__gt=number).order_by("pk").values_list("what", "subscriber_id"))


def test_every_row_that_rights_depend_on_leaves_a_change(cast: Cast) -> None:
    before = rights_changes.newest()
    for row in (cast.alice_key, cast.alice, cast.alice_contract, cast.alice_right):
        row.save()
    cast.realtime.save()
    cast.alice_right.delete()
    alice = cast.alice.pk
    assert since(before) == [
        ("apikey", alice), ("subscriber", alice), ("contract", alice), ("entitlement", alice), ("product", None),
        ("entitlement", alice),
    ]  # fmt: skip
    assert [subscriber for number, subscriber in rights_changes.read(before) if number > before][-1] == alice


def test_a_change_that_is_taken_back_leaves_none(cast: Cast) -> None:
    before = rights_changes.newest()
    with transaction.atomic():
        cast.alice_key.save()
        transaction.set_rollback(True)
    assert since(before) == []


def test_an_operators_account_and_role_are_rights_too_a_login_is_none() -> None:
    user = User.objects.create_user("olga")
    before = rights_changes.newest()
    user.last_login = timezone.now()
    user.save(update_fields=["last_login"])
    assert since(before) == []
    user.is_active = False
    user.save()
    user.groups.add(Group.objects.get(name="viewer"))
    assert since(before) == [("operator", -user.pk), ("role", None)]


def test_a_reader_begins_with_now_and_reads_a_little_back(cast: Cast) -> None:
    first = rights_changes.read(None)
    assert first[-1][0] == rights_changes.newest()
    cast.alice.save()
    again = rights_changes.read(first[-1][0])
    assert set(first) < set(again)  # an overtaken transaction may show up behind the newest
    assert len(again) == len(first) + 1
