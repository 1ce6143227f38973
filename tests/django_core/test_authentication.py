"""From the secret a client presents to its grant, or the protocol's code for why not."""

from __future__ import annotations

import datetime
import gc
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from subscriptions import api_keys
from subscriptions.authentication import (
    AuthError,
    anonymous_grant,
    authenticate,
    authenticate_all,
    issue_token,
    refresh_grant,
    refresh_grants,
)
from subscriptions.entitlements import Grant, Limits, effective_access
from subscriptions.grants import nanoseconds
from subscriptions.models import ApiKey, Contract, Entitlement, Product
from tests.django_core.cast import Cast

NOW = datetime.datetime(2026, 11, 20, 3, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)


def refused(secret: str, ip: str | None = None, at: datetime.datetime = NOW) -> str:
    with pytest.raises(AuthError) as caught:
        authenticate(secret, ip, at)
    assert secret not in str(caught.value)
    return caught.value.code


def test_a_valid_key_gives_its_subscribers_grant(cast: Cast) -> None:
    grant = authenticate(cast.secrets["alice"], "203.0.113.7", NOW)
    assert (grant.subscriber_id, grant.subscriber, grant.key_id) == (cast.alice.pk, "alice", cast.alice_key.public_id)
    assert grant.scopes == {"stream", "replay", "history"}
    assert grant.limits == Limits(symbols=1024, ops_per_s=10, queue_bytes=1_048_576, sessions=10)
    assert {(rule.product, rule.public) for rule in grant.rules} == {("rt", False), ("pub", True)}
    decision = effective_access(grant, "trade", symbol="FPT", market="STO", at_ns=nanoseconds(NOW))
    assert (decision.allowed, decision.rule) == (
        True,
        f"product rt by contract A-1, entitlement {cast.alice_right.pk}",
    )


def test_a_subscriber_has_no_more_than_its_own_contracts(cast: Cast) -> None:
    grant = authenticate(cast.secrets["bob"], None, NOW)
    assert [rule.product for rule in grant.rules] == ["pub"]
    assert grant.limits.sessions == 3


def test_a_mistyped_key_costs_no_query(cast: Cast, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert refused(cast.secrets["alice"][:-1] + "!") == "AUTH_FAILED"


def test_an_unknown_key_and_a_forged_secret_are_told_alike(cast: Cast) -> None:
    unknown = api_keys.generate()
    body = f"mdds_live_{cast.alice_key.public_id}_{'A' * 43}"
    for text in (unknown.text, body + api_keys.checksum(body)):
        with pytest.raises(AuthError) as caught:
            authenticate(text, None, NOW)
        assert (caught.value.code, caught.value.msg) == ("AUTH_FAILED", "invalid key")


def test_revoked_expired_blocked_and_without_contract(cast: Cast) -> None:
    cast.alice_key.revoked_at = NOW
    cast.alice_key.save()
    cast.bob_key.expires_at = NOW
    cast.bob_key.save()
    assert refused(cast.secrets["alice"]) == "KEY_REVOKED"
    assert refused(cast.secrets["bob"]) == "KEY_EXPIRED"
    assert refused(cast.secrets["charlie"]) == "CONTRACT_ENDED"
    assert authenticate(cast.secrets["bob"], None, NOW - HOUR).expires_ns == nanoseconds(NOW)
    cast.bob.blocked = True
    cast.bob.save()
    assert refused(cast.secrets["bob"], at=NOW - HOUR) == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("ip", "code"),
    [
        ("203.0.113.7", None),
        ("::ffff:203.0.113.7", None),
        ("2001:db8::1", None),
        ("203.0.114.1", "IP_NOT_ALLOWED"),
        (None, "IP_NOT_ALLOWED"),
        ("nonsense", "IP_NOT_ALLOWED"),
    ],
)
def test_the_address_list(cast: Cast, ip: str | None, code: str | None) -> None:
    cast.alice_key.addresses = ["203.0.113.0/24", "2001:db8::1"]
    cast.alice_key.save()
    if code is None:
        assert authenticate(cast.secrets["alice"], ip, NOW).subscriber == "alice"
    else:
        assert refused(cast.secrets["alice"], ip) == code


def test_contract_days_are_days_of_the_exchange(cast: Cast) -> None:
    Contract.objects.filter(pk=cast.alice_contract.pk).update(ends_on=datetime.date(2026, 11, 20))
    last = datetime.datetime(2026, 11, 20, 16, 59, 59, tzinfo=UTC)  # 23:59:59 in Vietnam
    grant = authenticate(cast.secrets["alice"], None, last)
    after = last + datetime.timedelta(seconds=1)
    codes = [
        effective_access(grant, "trade", symbol="FPT", market="STO", at_ns=nanoseconds(at)).code for at in (last, after)
    ]
    assert codes == [None, "CONTRACT_ENDED"]
    assert refused(cast.secrets["alice"], at=after) == "CONTRACT_ENDED"


def test_an_entitlement_holds_in_its_own_dates_and_for_its_symbols(cast: Cast) -> None:
    Entitlement.objects.filter(pk=cast.alice_right.pk).update(
        starts_on=datetime.date(2026, 11, 21), ends_on=datetime.date(2026, 11, 21), symbols=["FPT"]
    )
    grant = authenticate(cast.secrets["alice"], None, NOW)

    def code(symbol: str, day: int) -> str | None:
        at = datetime.datetime(2026, 11, day, 5, tzinfo=UTC)
        return effective_access(grant, "trade", symbol=symbol, market="STO", at_ns=nanoseconds(at)).code

    assert [code("FPT", 20), code("FPT", 21), code("FPT", 22)] == ["CONTRACT_ENDED", None, "CONTRACT_ENDED"]
    assert code("VNM", 21) == "NOT_ENTITLED"


def test_a_running_session_is_refreshed_by_id(cast: Cast) -> None:
    key_id = cast.alice_key.public_id
    assert refresh_grant(key_id, NOW) == authenticate(cast.secrets["alice"], None, NOW)
    cast.alice_right.delete()
    assert [rule.product for rule in refresh_grant(key_id, NOW).rules] == ["pub"]
    cast.alice_key.delete()
    with pytest.raises(AuthError, match="KEY_REVOKED"):
        refresh_grant(key_id, NOW)


def test_without_a_key_only_public_products_with_tighter_limits(cast: Cast) -> None:
    grant = anonymous_grant()
    assert (grant.key_id, grant.subscriber_id, [rule.product for rule in grant.rules]) == ("", 0, ["pub"])
    assert grant.limits.symbols < 1024
    assert refresh_grant("") == grant


def test_last_use_is_written_once_a_minute(cast: Cast) -> None:
    def used(at: datetime.datetime) -> datetime.datetime | None:
        authenticate(cast.secrets["alice"], None, at)
        cast.alice_key.refresh_from_db()
        return cast.alice_key.last_used_at

    second = datetime.timedelta(seconds=1)
    assert used(NOW) == NOW
    assert used(NOW + 59 * second) == NOW
    assert used(NOW + 60 * second) == NOW + 60 * second


def test_a_token_opens_what_its_key_opens_until_the_key_ends(cast: Cast) -> None:
    now = timezone.now()
    token = issue_token(authenticate(cast.secrets["alice"], None), at=now)
    assert authenticate(token, "198.51.100.9", now) == authenticate(cast.secrets["alice"], None, now)
    with pytest.raises(AuthError, match="AUTH_FAILED"):
        authenticate(token, None, now + datetime.timedelta(seconds=306))
    with pytest.raises(AuthError, match="AUTH_FAILED"):
        authenticate(token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), None, now)
    bound = issue_token(authenticate(cast.secrets["alice"], None), at=now, address="203.0.113.7")
    assert authenticate(bound, "::ffff:203.0.113.7", now).subscriber == "alice"
    with pytest.raises(AuthError, match="IP_NOT_ALLOWED"):
        authenticate(bound, "203.0.113.8", now)
    cast.alice_key.revoked_at = now
    cast.alice_key.save()
    with pytest.raises(AuthError, match="KEY_REVOKED"):
        authenticate(token, None, now)
    with pytest.raises(AuthError, match="AUTH_REQUIRED"):
        issue_token(anonymous_grant(), at=now)


def test_a_forged_token_costs_no_query(cast: Cast, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0), pytest.raises(AuthError, match="AUTH_FAILED"):
        authenticate("eyJhbGciOiJub25lIn0.e30.", None)


def test_an_operator_watches_while_the_role_lasts(db: None) -> None:
    olga = User.objects.create_user("olga")
    with pytest.raises(AuthError, match="NOT_ENTITLED"):
        refresh_grant(f"operator:{olga.pk}")
    olga.groups.add(Group.objects.get(name="viewer"))
    grant = refresh_grant(f"operator:{olga.pk}")
    token = issue_token(grant, at=timezone.now())
    assert authenticate(token, None) == grant
    assert effective_access(grant, "depth", symbol="FPT", market="STO", at_ns=0).allowed
    assert not effective_access(grant, "account", symbol="alice", market=None, at_ns=0).allowed
    olga.is_active = False
    olga.save()
    with pytest.raises(AuthError, match="KEY_REVOKED"):
        authenticate(token, None)


def test_many_keys_are_refreshed_in_a_few_queries(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    keys = [cast.key(subscriber).public_id for subscriber in (cast.alice, cast.bob, cast.charlie) for _ in range(5)]
    with django_assert_max_num_queries(6):
        found = refresh_grants([*keys, "", "gone0001"])
    for key in keys[:10]:
        assert found[key] == refresh_grant(key)
    codes = [one.code for one in found.values() if isinstance(one, AuthError)]
    assert codes == ["CONTRACT_ENDED"] * 5 + ["KEY_REVOKED"]
    assert found[""] == anonymous_grant()


def test_a_grant_ends_with_the_last_contract_that_follows_without_a_gap(cast: Cast) -> None:
    contract, zone = cast.alice_contract, ZoneInfo(settings.MDDS.time_zone)
    contract.ends_on = datetime.date(2026, 6, 30)
    contract.save()
    at = datetime.datetime(2026, 6, 1, tzinfo=zone)
    follows = Contract.objects.create(
        subscriber=cast.alice, number="A-2", starts_on=datetime.date(2026, 7, 1), ends_on=datetime.date(2026, 7, 31)
    )
    ends = datetime.datetime(2026, 8, 1, tzinfo=zone)
    grant = refresh_grant(cast.alice_key.public_id, at)
    assert grant.ends_ns == int(ends.timestamp()) * 10**9
    over = effective_access(grant, "index", symbol="VNINDEX", market=None, at_ns=grant.ends_ns or 0)
    assert (over.allowed, over.code) == (False, "CONTRACT_ENDED")  # public products end with it: a login would fail too
    follows.starts_on = datetime.date(2026, 7, 2)
    follows.save()
    gap = refresh_grant(cast.alice_key.public_id, at).ends_ns
    assert gap == int(datetime.datetime(2026, 7, 1, tzinfo=zone).timestamp()) * 10**9


def test_many_logins_are_answered_each_by_itself_from_one_reading(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    cast.alice_key.addresses = ["203.0.113.0/24"]
    cast.alice_key.save()
    alice, bob = cast.secrets["alice"], cast.secrets["bob"]
    token = issue_token(authenticate(alice, "203.0.113.7", NOW), at=NOW)
    forged = f"mdds_live_{cast.alice_key.public_id}_{'A' * 43}"
    logins = [
        (alice, "203.0.113.7"), (alice, "198.51.100.1"), (forged + api_keys.checksum(forged), "203.0.113.7"),
        (bob, None), (alice[:-1] + "!", None), (cast.secrets["charlie"], None), (token, None), (None, None),
        (api_keys.generate().text, None), ("eyJhbGciOiJub25lIn0.e30.", None), (alice, "203.0.113.8"),
    ]  # fmt: skip
    with django_assert_max_num_queries(6):
        answers = authenticate_all(logins * 20, NOW)
    said = [one.code if isinstance(one, AuthError) else one.subscriber for one in answers[: len(logins)]]
    assert said == [
        "alice", "IP_NOT_ALLOWED", "AUTH_FAILED", "bob", "AUTH_FAILED", "CONTRACT_ENDED", "alice", "anonymous",
        "AUTH_FAILED", "AUTH_FAILED", "alice",
    ]  # fmt: skip
    for (secret, ip), answer in zip(logins, answers, strict=False):
        if isinstance(answer, Grant) and secret is not None:
            assert authenticate(secret, ip, NOW) == answer


def test_rows_that_cannot_be_read_shut_out_their_own_key_only(cast: Cast) -> None:
    ApiKey.objects.filter(pk=cast.alice_key.pk).update(addresses=["nonsense/99"])
    Product.objects.filter(code="rt").update(markets=7)
    answers = authenticate_all([(cast.secrets["alice"], "203.0.113.7"), (cast.secrets["bob"], None)], NOW)
    assert [one.code if isinstance(one, AuthError) else one.subscriber for one in answers] == ["IP_NOT_ALLOWED", "bob"]
    found = refresh_grants([cast.alice_key.public_id, cast.bob_key.public_id], NOW)
    assert [one.code if isinstance(one, AuthError) else one.subscriber for one in found.values()] == [
        "OVERLOADED", "bob",
    ]  # fmt: skip


def test_a_login_leaves_no_rows_to_the_collector(cast: Cast) -> None:
    """Rows that know each other would wait for it: thousands of logins, tens of MB."""
    secrets = [(cast.secrets[name], None) for name in ("alice", "bob")]
    authenticate_all(secrets, NOW)
    gc.collect()
    gc.disable()
    try:
        authenticate_all(secrets, NOW)
        refresh_grants([cast.alice_key.public_id], NOW)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [repr(one) for one in gc.garbage if isinstance(one, Model)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
