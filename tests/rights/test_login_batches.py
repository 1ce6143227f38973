"""Logins that come together are asked for together, each is answered by itself, and none by what was read before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from subscriptions import demo
from subscriptions.auth_error import AuthError
from subscriptions.authentication import Login
from subscriptions.gateway import authenticator
from subscriptions.gateway.authenticator import Authenticator
from subscriptions.gateway.login_batches import AT_ONCE, LOGINS_MAX, Answer, Full, LoginBatches
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber
from subscriptions.protocol import ProtocolError
from tests.gateway import cast


class Database:
    """Answers when it is told to; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Login]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.error: Exception | None = None

    def __call__(self, logins: Sequence[Login]) -> list[Answer]:
        self.asked.append(list(logins))
        assert self.goes_on.wait(10)
        if self.error is not None:
            raise self.error
        return [cast.alice() if secret == "alice" else AuthError("AUTH_FAILED", "invalid key") for secret, _ in logins]


def run(scenario: Callable[[LoginBatches, Database], Any]) -> None:
    async def main() -> None:
        database = Database()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            batches = LoginBatches(database, executor=threads)
            try:
                await asyncio.wait_for(scenario(batches, database), 10)
            finally:
                database.goes_on.set()
                batches.close()

    asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited in vain")


def test_what_comes_together_is_asked_together() -> None:
    async def scenario(batches: LoginBatches, database: Database) -> None:
        secrets = ["alice" if number % 3 else f"wrong {number}" for number in range(LOGINS_MAX)]
        answers = await asyncio.gather(*(batches.answer((one, "203.0.113.7")) for one in secrets))
        for secret, answer in zip(secrets, answers, strict=True):
            assert isinstance(answer, AuthError) == (secret != "alice")
        assert database.asked == [[(one, "203.0.113.7") for one in secrets]]

    run(scenario)


def test_a_login_is_never_answered_by_a_question_that_began_before_it() -> None:
    async def scenario(batches: LoginBatches, database: Database) -> None:
        database.goes_on.clear()
        before = []
        for number in range(AT_ONCE):
            before.append(asyncio.ensure_future(batches.answer(("alice", None))))
            await until(lambda asked=number + 1: len(database.asked) == asked)
        late = [asyncio.ensure_future(batches.answer(("alice", f"203.0.113.{number}"))) for number in range(5)]
        await asyncio.sleep(0.05)
        assert len(database.asked) == AT_ONCE
        assert not any(one.done() for one in [*before, *late])
        database.goes_on.set()
        await asyncio.gather(*before, *late)
        assert sorted(address or "" for question in database.asked[AT_ONCE:] for _, address in question) == [
            f"203.0.113.{number}" for number in range(5)
        ]

    run(scenario)


def test_a_client_that_leaves_takes_nobody_with_it() -> None:
    async def scenario(batches: LoginBatches, database: Database) -> None:
        database.goes_on.clear()
        first = [asyncio.ensure_future(batches.answer(("alice", None))) for _ in range(2)]
        await until(lambda: len(database.asked) == 1)
        other = asyncio.ensure_future(batches.answer(("alice", None)))
        await until(lambda: len(database.asked) == AT_ONCE)
        waiting = [asyncio.ensure_future(batches.answer(("alice", str(number)))) for number in range(2)]
        await asyncio.sleep(0)
        first[0].cancel()
        waiting[0].cancel()
        database.goes_on.set()
        assert not isinstance(await first[1], AuthError)
        assert not isinstance(await other, AuthError)
        assert not isinstance(await waiting[1], AuthError)
        assert database.asked[AT_ONCE:] == [[("alice", "1")]]

    run(scenario)


def test_a_database_that_fails_fails_all_of_its_question_and_no_later_one() -> None:
    async def scenario(batches: LoginBatches, database: Database) -> None:
        database.error = OperationalError("away")
        found = await asyncio.gather(*(batches.answer(("alice", None)) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [OperationalError] * 3
        database.error = None
        assert not isinstance(await batches.answer(("alice", None)), AuthError)

    run(scenario)


def test_more_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subscriptions.gateway.login_batches.WAITING_MAX", 3)

    async def scenario(batches: LoginBatches, database: Database) -> None:
        database.goes_on.clear()
        for number in range(AT_ONCE):
            asyncio.ensure_future(batches.answer(("alice", None))).add_done_callback(lambda one: one.exception())
            await until(lambda asked=number + 1: len(database.asked) == asked)
        waiting = [asyncio.ensure_future(batches.answer(("alice", None))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await batches.answer(("alice", None))
        database.goes_on.set()
        await asyncio.gather(*waiting)

    run(scenario)


# With rows

CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "revoked": (lambda: ApiKey.objects.update(revoked_at=timezone.now()), "KEY_REVOKED"),
    "expired": (lambda: ApiKey.objects.update(expires_at=timezone.now()), "KEY_EXPIRED"),
    "deleted": (lambda: ApiKey.objects.all().delete(), "AUTH_FAILED"),
    "addresses": (lambda: ApiKey.objects.update(addresses=["203.0.113.0/24"]), "IP_NOT_ALLOWED"),
    "secret": (lambda: ApiKey.objects.update(digest="0" * 64), "AUTH_FAILED"),
    "blocked": (lambda: Subscriber.objects.update(blocked=True), "KEY_REVOKED"),
    "contract": (lambda: Contract.objects.update(starts_on="2020-01-01", ends_on="2020-01-02"), "CONTRACT_ENDED"),
    "scopes": (lambda: ApiKey.objects.update(scopes=["history"]), "history"),
    "sessions": (lambda: Contract.objects.update(sessions_max=7), "7"),
    "entitlement": (lambda: Entitlement.objects.all().delete(), "no krx-realtime"),
    "product": (lambda: Product.objects.filter(code="krx-realtime").update(channels=["index"]), "index"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", CHANGES)
def test_the_login_after_a_change_has_the_change_though_nobody_told_of_it(name: str) -> None:
    """By `update`, which sends no signal: no notice, no row in the journal. A login asks the rows, so it knows."""
    change, expected = CHANGES[name]
    key = demo.key(demo.subscriber(), None, site_secret=settings.SECRET_KEY, now=timezone.now())

    async def main() -> str:
        keys = Authenticator()
        try:
            first, second = [await keys.login(key, "198.51.100.7") for _ in range(2)]
            assert first is second, "sessions of a key share what is equal"
            await asyncio.to_thread(change)
            try:
                found = await keys.login(key, "198.51.100.7")
            except ProtocolError as error:
                return error.code
            assert found != first
            rules = {rule.product: rule for rule in found.rules}
            match name:
                case "scopes":
                    return ",".join(found.scopes)
                case "sessions":
                    return str(found.limits.sessions)
                case "entitlement":
                    return "no krx-realtime" if "krx-realtime" not in rules else "still there"
                case _:
                    return ",".join(rules["krx-realtime"].channels)
        finally:
            keys.close()

    assert asyncio.run(main()) == expected


@pytest.mark.django_db(transaction=True)
def test_a_keys_use_is_written_behind_its_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "NOTE_AFTER_S", 0.05)
    key = demo.key(demo.subscriber(), None, site_secret=settings.SECRET_KEY, now=timezone.now())

    async def main() -> list[tuple[str, ...]]:
        written: list[tuple[str, ...]] = []
        note_use = authenticator.note_use

        def noted(key_ids: set[str]) -> None:
            written.append(tuple(key_ids))
            note_use(key_ids)

        monkeypatch.setattr(authenticator, "note_use", noted)
        keys = Authenticator()
        try:
            await asyncio.gather(*(keys.login(key, None) for _ in range(20)), keys.anonymous())
            with pytest.raises(ProtocolError):
                await keys.login(key[:-1] + "!", None)
            await until(lambda: bool(written) and keys._noting is None)
            await keys.login(key, None)  # within the minute: nothing to write
            assert keys._noting is None
        finally:
            keys.close()
        return written

    (row,) = [ApiKey.objects.get(subscriber__code=demo.SUBSCRIBER)]
    assert row.last_used_at is None
    assert asyncio.run(main()) == [(row.public_id,)]
    row.refresh_from_db()
    assert row.last_used_at is not None


@pytest.mark.django_db(transaction=True)
def test_logins_fail_closed_while_the_database_is_away_whatever_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    key = demo.key(demo.subscriber(), None, site_secret=settings.SECRET_KEY, now=timezone.now())

    def away(logins: Sequence[Login]) -> list[Answer]:
        raise OperationalError("away")

    def hangs(logins: Sequence[Login]) -> list[Answer]:
        assert go_on.wait(10)
        return [cast.alice() for _ in logins]

    go_on = threading.Event()

    async def main() -> None:
        keys = Authenticator()
        try:
            assert (await keys.login(key, None)).subscriber == demo.SUBSCRIBER
            with monkeypatch.context() as patch:
                patch.setattr(keys.batches, "_ask", away)
                for asked in (keys.login(key, None), keys.anonymous()):
                    with pytest.raises(ProtocolError) as refused:
                        await asked
                    assert (refused.value.code, refused.value.fatal) == ("OVERLOADED", True)
                    assert refused.value.retry_after_ms
                patch.setattr(authenticator, "WAIT_S", 0.05)
                patch.setattr(keys.batches, "_ask", hangs)
                with pytest.raises(ProtocolError) as refused:
                    await keys.login(key, None)
                assert refused.value.code == "OVERLOADED"
                go_on.set()
            assert (await keys.login(key, None)).subscriber == demo.SUBSCRIBER
        finally:
            keys.close()

    asyncio.run(main())
