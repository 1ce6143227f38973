"""What the database refuses of products, contracts, entitlements and keys, and what clean() explains."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction

from subscriptions.checks import entitlements_inside_contracts
from subscriptions.models import ApiKey, Contract, Entitlement, Product
from tests.django_core.cast import STARTS_ON, Cast

DAY = datetime.timedelta(days=1)


def refuses(row: models.Model) -> None:
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        row.save()


@pytest.mark.parametrize(
    "values",
    [
        {"level": 0},
        {"level": 101},
        {"timeliness": "realtime", "delay_s": 5},
        {"timeliness": "delayed", "delay_s": 0},
        {"timeliness": "later"},
    ],
)
def test_a_product_is_real_time_or_delayed(db: None, values: dict[str, object]) -> None:
    refuses(Product(code="x", name="X", markets=["STO"], channels=["trade"], **values))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"channels": ["tick"]}, "channels"),
        ({"markets": ["NYSE"]}, "markets"),
        ({"channels": ["account"], "public": True}, "channels"),
    ],
)
def test_unknown_channels_and_markets_are_named(db: None, values: dict[str, object], field: str) -> None:
    defaults: dict[str, object] = {"code": "x", "name": "X", "markets": ["STO"], "channels": ["trade"]}
    with pytest.raises(ValidationError) as caught:
        Product(**defaults | values).full_clean()
    assert list(caught.value.message_dict) == [field]


def test_a_contract_ends_after_its_start_with_positive_limits(cast: Cast) -> None:
    refuses(Contract(subscriber=cast.alice, number="A-2", starts_on=STARTS_ON, ends_on=STARTS_ON - DAY))
    for limit in ("sessions_max", "symbols_max", "ops_per_s_max", "queue_bytes_max"):
        refuses(Contract(subscriber=cast.alice, number="A-2", starts_on=STARTS_ON, **{limit: 0}))
    refuses(Contract(subscriber=cast.bob, number="A-1", starts_on=STARTS_ON))
    Contract.objects.create(subscriber=cast.alice, number="A-2", starts_on=STARTS_ON, ends_on=STARTS_ON)


def test_an_entitlement_is_given_once(cast: Cast) -> None:
    refuses(Entitlement(contract=cast.alice_contract, product=cast.realtime))
    later = Entitlement(contract=cast.alice_contract, product=cast.realtime, starts_on=STARTS_ON)
    later.save()
    refuses(Entitlement(contract=cast.alice_contract, product=cast.realtime, starts_on=STARTS_ON))
    refuses(
        Entitlement(contract=cast.bob_contract, product=cast.realtime, starts_on=STARTS_ON, ends_on=STARTS_ON - DAY)
    )


@pytest.mark.parametrize(
    ("starts", "ends", "words"),
    [
        (-1, None, "before its contract"),
        (None, 11, "after its contract"),
        (11, None, "after its contract"),
        (None, -1, "before its contract"),
        (0, 10, ""),
        (None, None, ""),
    ],
)
def test_an_entitlement_lies_inside_its_contract(cast: Cast, starts: int | None, ends: int | None, words: str) -> None:
    contract = Contract.objects.create(
        subscriber=cast.alice, number="A-2", starts_on=STARTS_ON, ends_on=STARTS_ON + 10 * DAY
    )
    row = Entitlement(
        contract=contract,
        product=cast.realtime,
        starts_on=None if starts is None else STARTS_ON + starts * DAY,
        ends_on=None if ends is None else STARTS_ON + ends * DAY,
    )
    row.save()  # past the form, as an import would
    found = entitlements_inside_contracts(None, databases=["default"])
    if words:
        with pytest.raises(ValidationError, match=words):
            row.full_clean()
        assert [message.id for message in found] == ["mdds.E201"]
        with pytest.raises(ValidationError, match="Entitlement to rt"):
            contract.full_clean()
    else:
        row.full_clean()
        assert found == []


@pytest.mark.parametrize("symbols", ["FPT", [1], [""], {"FPT": 1}])
def test_symbols_are_a_list_of_tickers(cast: Cast, symbols: object) -> None:
    with pytest.raises(ValidationError, match="not a list of tickers"):
        Entitlement(contract=cast.bob_contract, product=cast.realtime, symbols=symbols).full_clean()


def test_a_key_holds_a_digest_and_nothing_else(cast: Cast) -> None:
    good = {"subscriber": cast.alice, "name": "n", "public_id": "AAAAAAAA", "digest": "0" * 64}
    for bad in ({"digest": "secret"}, {"digest": "G" * 64}, {"public_id": "short"}):
        refuses(ApiKey(**good | bad))
    refuses(ApiKey(**good | {"public_id": cast.alice_key.public_id}))
    for addresses in (["300.1.1.1"], ["10.0.0.1/8"], "10.0.0.1", [5.5]):
        with pytest.raises(ValidationError):
            ApiKey(**good, addresses=addresses).full_clean()
