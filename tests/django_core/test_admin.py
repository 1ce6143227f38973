"""The admin: a key is shown once, every change is audited, roles are obeyed, every page opens."""

from __future__ import annotations

import datetime
import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from feeds.models import Exchange, Feed
from subscriptions.audit import verify
from subscriptions.authentication import authenticate
from subscriptions.models import ApiKey, AuditEntry, Contract, Entitlement, Product, Subscriber
from tests.django_core.cast import Cast

pytestmark = pytest.mark.django_db


def trail() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("who", "what", "subject"))


def operator(role: str) -> Client:
    user = User.objects.create_user(role.replace(" ", "-"), password="p", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def issue(client: Client, cast: Cast, **values: object) -> str:
    form = {"subscriber": cast.alice.pk, "name": "server", "scopes": ["stream"], "addresses": "10.0.0.0/8, 10.1.1.1"}
    answer = client.post(reverse("admin:subscriptions_apikey_add"), form | values)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    match = re.search(r'id="api-key-secret"[^>]*>(mdds_live_[^<]+)<', answer.content.decode())
    assert match, answer.content.decode()[:2000]
    return match.group(1)


def test_a_key_is_shown_once_and_kept_nowhere(
    admin_client: Client, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    secret = issue(admin_client, cast)
    key = ApiKey.objects.get(name="server")
    assert (key.scopes, key.addresses, key.subscriber) == (["stream"], ["10.0.0.0/8", "10.1.1.1"], cast.alice)
    assert authenticate(secret, "10.2.3.4").key_id == key.public_id
    pages = [
        reverse("admin:subscriptions_apikey_changelist"),
        reverse("admin:subscriptions_apikey_change", args=[key.pk]),
    ]
    seen = "".join(admin_client.get(page).content.decode() for page in pages)
    assert key.public_id in seen
    tail = secret[-20:]
    assert tail not in seen
    assert key.digest not in seen
    assert tail not in caplog.text
    assert tail not in str(list(AuditEntry.objects.values()))
    assert tail not in str(admin_client.cookies)
    assert trail() == [("admin", "subscriptions.apikey.add", f"server ({key.public_id})")]


def test_a_bad_address_is_an_error_in_the_form_and_no_key(admin_client: Client, cast: Cast) -> None:
    count = ApiKey.objects.count()
    form = {"subscriber": cast.alice.pk, "name": "server", "scopes": ["stream"], "addresses": "10.0.0.300"}
    answer = admin_client.post(reverse("admin:subscriptions_apikey_add"), form)
    assert "is not an address or network" in answer.content.decode()
    assert ApiKey.objects.count() == count


def test_revoking_ends_the_key_and_is_audited(admin_client: Client, cast: Cast) -> None:
    url = reverse("admin:subscriptions_apikey_changelist")
    admin_client.post(url, {"action": "revoke", "_selected_action": [cast.alice_key.pk], "reason": "leaked"})
    cast.alice_key.refresh_from_db()
    assert cast.alice_key.revoked_at is not None
    entry = AuditEntry.objects.get()
    assert (entry.what, entry.reason, entry.address) == ("subscriptions.apikey.revoke", "leaked", "127.0.0.1")


def test_a_key_cannot_be_moved_or_deleted(admin_client: Client, cast: Cast) -> None:
    url = reverse("admin:subscriptions_apikey_change", args=[cast.alice_key.pk])
    admin_client.post(url, {"subscriber": cast.bob.pk, "name": "renamed", "scopes": ["stream"], "addresses": ""})
    cast.alice_key.refresh_from_db()
    assert (cast.alice_key.name, cast.alice_key.subscriber) == ("renamed", cast.alice)
    assert admin_client.post(reverse("admin:subscriptions_apikey_delete", args=[cast.alice_key.pk])).status_code == 403


def test_the_story_of_a_new_subscriber(admin_client: Client, cast: Cast) -> None:
    admin_client.post(
        reverse("admin:subscriptions_subscriber_add"),
        {"code": "dora", "name": "Dora", "contracts-TOTAL_FORMS": 0, "contracts-INITIAL_FORMS": 0},
    )
    dora = Subscriber.objects.get(code="dora")
    form = {
        "subscriber": dora.pk, "number": "D-1", "starts_on": "2026-01-01", "sessions_max": 1, "symbols_max": 5,
        "ops_per_s_max": 1, "queue_bytes_max": 65536, "on_slow_max": "skip", "entitlements-TOTAL_FORMS": 1,
        "entitlements-INITIAL_FORMS": 0, "entitlements-0-product": cast.realtime.pk,
        "entitlements-0-symbols": "FPT VNM",
    }  # fmt: skip
    admin_client.post(reverse("admin:subscriptions_contract_add"), form)
    contract = Contract.objects.get(number="D-1")
    right = Entitlement.objects.get(contract=contract)
    assert right.symbols == ["FPT", "VNM"]
    secret = issue(admin_client, cast, subscriber=dora.pk, addresses="")
    assert authenticate(secret, None, datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)).limits.symbols == 5
    stored = {"entitlements-0-id": right.pk, "entitlements-0-contract": contract.pk}
    form |= stored | {"entitlements-INITIAL_FORMS": 1, "entitlements-0-symbols": "", "ops_per_s_max": 2}
    admin_client.post(reverse("admin:subscriptions_contract_change", args=[contract.pk]), form)
    last = list(AuditEntry.objects.order_by("-id")[:2].values_list("what", "before", "after"))
    assert last == [
        ("subscriptions.contract.change", {"ops_per_s_max": 1}, {"ops_per_s_max": 2}),
        ("subscriptions.entitlement.change", {"symbols": ["FPT", "VNM"]}, {"symbols": None}),
    ]
    form |= {"entitlements-0-DELETE": "on"}
    admin_client.post(reverse("admin:subscriptions_contract_change", args=[contract.pk]), form)
    assert not contract.entitlements.exists()
    assert [what for _, what, _ in trail()] == [
        "subscriptions.subscriber.add",
        "subscriptions.entitlement.add",
        "subscriptions.contract.add",
        "subscriptions.apikey.add",
        "subscriptions.entitlement.change",
        "subscriptions.contract.change",
        "subscriptions.entitlement.delete",
    ]
    assert verify() == 7


def test_an_entitlement_outside_its_contract_is_refused_in_the_form(admin_client: Client, cast: Cast) -> None:
    form = {"contract": cast.bob_contract.pk, "product": cast.realtime.pk, "starts_on": "2025-12-31"}
    answer = admin_client.post(reverse("admin:subscriptions_entitlement_add"), form)
    assert "before its contract B-1 on 2026-01-01" in answer.content.decode()
    assert not cast.bob_contract.entitlements.exists()


def test_blocking_a_subscriber(admin_client: Client, cast: Cast) -> None:
    url = reverse("admin:subscriptions_subscriber_changelist")
    admin_client.post(url, {"action": "block", "_selected_action": [cast.alice.pk]})
    cast.alice.refresh_from_db()
    assert cast.alice.blocked
    assert trail() == [("admin", "subscriptions.subscriber.block", "alice")]


def test_feeds_are_edited_with_their_lines_and_audited(admin_client: Client) -> None:
    exchange = Exchange.objects.create(code="KRX", name="KRX")
    form = {
        "name": "STO", "exchange": exchange.pk, "markets": ["STO", "BDO"], "enabled": "on", "gap_wait_ms": 200,
        "gap_messages_max": 1000, "receive_buffer_bytes": 8388608, "line_silent_ms": 3000, "line_down_ms": 10000,
        "lines-TOTAL_FORMS": 2, "lines-INITIAL_FORMS": 0,
        "lines-0-name": "A", "lines-0-group": "239.1.1.1", "lines-0-port": 5000, "lines-0-interface": "127.0.0.1",
        "lines-1-name": "B", "lines-1-group": "239.1.1.1", "lines-1-port": 5000, "lines-1-interface": "127.0.0.1",
    }  # fmt: skip
    answer = admin_client.post(reverse("admin:feeds_feed_add"), form)
    assert answer.status_code == 200, "two lines on one address were taken"
    assert not Feed.objects.exists()
    answer = admin_client.post(reverse("admin:feeds_feed_add"), form | {"lines-1-port": 5001})
    assert answer.status_code == 302
    assert [line.port for line in Feed.objects.get().lines.all()] == [5000, 5001]
    assert [what for _, what, _ in trail()] == ["feeds.line.add", "feeds.line.add", "feeds.feed.add"]


def test_a_role_given_to_a_user_is_in_the_trail(admin_client: Client) -> None:
    user = User.objects.create_user("carol", password="p")
    group = Group.objects.get(name="viewer")
    form = {"username": "carol", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "groups": [group.pk]}
    admin_client.post(reverse("admin:auth_user_change", args=[user.pk]), form)
    entry = AuditEntry.objects.get()
    assert entry.what == "auth.user.change"
    assert entry.after["groups"] == [group.pk]
    assert "password" not in entry.before


@pytest.mark.parametrize(
    ("role", "feed", "subscriber", "key"),
    [("viewer", 403, 403, 403), ("operator", 200, 403, 403), ("entitlement admin", 403, 200, 200)],
)
def test_roles(cast: Cast, role: str, feed: int, subscriber: int, key: int) -> None:
    client = operator(role)
    adds = [reverse(f"admin:{name}_add") for name in ("feeds_feed", "subscriptions_subscriber", "subscriptions_apikey")]
    assert [client.get(url).status_code for url in adds] == [feed, subscriber, key]
    assert client.get(reverse("admin:subscriptions_apikey_changelist")).status_code == 200
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403
    answer = client.post(
        reverse("admin:subscriptions_apikey_changelist"),
        {"action": "revoke", "_selected_action": [cast.alice_key.pk]},
    )
    cast.alice_key.refresh_from_db()
    assert (cast.alice_key.revoked_at is not None) is (key == 200), answer.status_code


def test_the_trail_cannot_be_edited(admin_client: Client, cast: Cast) -> None:
    admin_client.post(
        reverse("admin:subscriptions_subscriber_changelist"),
        {"action": "block", "_selected_action": [cast.alice.pk]},
    )
    entry = AuditEntry.objects.get()
    assert admin_client.get(reverse("admin:subscriptions_auditentry_change", args=[entry.pk])).status_code == 200
    assert admin_client.get(reverse("admin:subscriptions_auditentry_add")).status_code == 403
    assert admin_client.post(reverse("admin:subscriptions_auditentry_delete", args=[entry.pk])).status_code == 403


OURS = [model for model in admin.site._registry if model._meta.app_label in ("feeds", "subscriptions", "auth")]


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_page_opens(admin_client: Client, cast: Cast, model: type) -> None:
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    assert admin_client.get(reverse(f"admin:{name}_changelist"), {"q": "a"}).status_code == 200
    assert admin_client.get(reverse(f"admin:{name}_add")).status_code in (200, 403)
    row = model.objects.first()
    if row is not None:
        assert admin_client.get(reverse(f"admin:{name}_change", args=[row.pk])).status_code == 200


def test_the_product_form_shows_markets_as_boxes(admin_client: Client, cast: Cast) -> None:
    text = admin_client.get(reverse("admin:subscriptions_product_change", args=[cast.realtime.pk])).content.decode()
    boxes = re.findall(r"<input[^>]*name=\"markets\"[^>]*>", text)
    assert len(boxes) == 8
    assert sum(bool(re.search(r"\schecked[\s>=]", box)) for box in boxes) == 2
    assert Product.objects.count() == 2
