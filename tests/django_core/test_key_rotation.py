"""Rotation: two valid keys during the overlap, and never a key that lives longer by it."""

from __future__ import annotations

import datetime

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from subscriptions import key_rotation
from subscriptions.authentication import AuthError, authenticate
from subscriptions.models import ApiKey, AuditEntry
from tests.django_core.cast import Cast

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)


def rotate(key: ApiKey, overlap: datetime.timedelta, at: datetime.datetime) -> tuple[ApiKey, str]:
    successor, secret = key_rotation.rotate(key, overlap=overlap, at=at, site_secret=settings.SECRET_KEY)
    return successor, secret.text


def test_both_keys_work_during_the_overlap_and_one_after_it(cast: Cast) -> None:
    now = timezone.now()
    cast.alice_key.addresses, cast.alice_key.scopes = ["203.0.113.0/24"], ["stream"]
    cast.alice_key.save()
    successor, secret = rotate(cast.alice_key, HOUR, now)
    old = cast.secrets["alice"]
    for text in (old, secret):
        found = authenticate(text, "203.0.113.7", now + HOUR / 2)
        assert (found.subscriber, found.scopes) == ("alice", {"stream"})
    assert authenticate(secret, "203.0.113.7", now + HOUR).key_id == successor.public_id
    with pytest.raises(AuthError, match="KEY_EXPIRED"):
        authenticate(old, "203.0.113.7", now + HOUR)
    with pytest.raises(AuthError, match="IP_NOT_ALLOWED"):
        authenticate(secret, "198.51.100.1", now)


def test_a_key_is_rotated_once_and_only_while_it_holds(cast: Cast) -> None:
    now = timezone.now()
    ends = now + 2 * HOUR
    cast.alice_key.expires_at = ends
    cast.alice_key.save()
    successor, _ = rotate(cast.alice_key, 5 * HOUR, now)
    cast.alice_key.refresh_from_db()
    assert (cast.alice_key.expires_at, successor.expires_at, successor.replaces) == (ends, ends, cast.alice_key)
    for key, at in ((cast.alice_key, now), (successor, ends)):
        with pytest.raises(key_rotation.NotRotatable):
            rotate(key, HOUR, at)
    with pytest.raises(ValueError, match="overlap"):
        rotate(successor, datetime.timedelta(days=31), now)
    assert ApiKey.objects.filter(subscriber=cast.alice).count() == 2


def test_the_admin_asks_for_the_overlap_and_shows_the_secret_once(admin_client: Client, cast: Cast) -> None:
    url = "/admin/subscriptions/apikey/"
    chosen = {"action": "rotate", "_selected_action": [cast.alice_key.pk]}
    asked = admin_client.post(url, chosen).content.decode()
    assert "overlap_hours" in asked
    shown = admin_client.post(url, chosen | {"overlap_hours": "2", "reason": "yearly"}).content.decode()
    successor = ApiKey.objects.get(replaces=cast.alice_key)
    secret = shown.split('id="api-key-secret"')[1].split(">", 1)[1].split("<")[0]
    assert authenticate(secret, None).key_id == successor.public_id
    assert secret not in admin_client.get(f"{url}{successor.pk}/change/").content.decode()
    acts = AuditEntry.objects.filter(what="subscriptions.apikey.rotate").values_list("subject", "reason")
    assert list(acts) == [(str(cast.alice_key), "yearly")]
    again = admin_client.post(url, chosen | {"overlap_hours": "2"}, follow=True).content.decode()
    assert "has a successor already" in again
