"""Builds a Grant from a subscriber's contracts and the public products."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q

from subscriptions.entitlements import SCOPES, Grant, Limits, ProductRule
from subscriptions.limits import ANONYMOUS_LIMITS, highest
from subscriptions.models import ApiKey, Contract, Entitlement, Product

ContractRows = tuple[Contract, Sequence[Entitlement]]  # the entitlements with their products


class NoContract(LookupError):
    """The subscriber has no contract that holds at the time."""


def anonymous(*, limits: Limits = ANONYMOUS_LIMITS, public: tuple[ProductRule, ...] | None = None) -> Grant:
    """Public products only; `public`: their rules, if read already."""
    rules = public_rules() if public is None else public
    return Grant(0, "anonymous", "", frozenset({"stream"}), rules, limits, None)


def of_key(
    key: ApiKey,
    rights: Sequence[ContractRows],
    *,
    at: datetime,
    zone: ZoneInfo,
    public: tuple[ProductRule, ...] | None = None,
) -> Grant:
    """The grant of a key with its subscriber's `rights`. Days of contracts are whole days in `zone`. NoContract when
    none is current."""
    contracts = [contract for contract, _ in rights]
    current = [contract for contract in contracts if _holds(contract, _day(at, zone))]
    if not current:
        raise NoContract(f"subscriber {key.subscriber.code} has no contract on {_day(at, zone)}")
    rules = [_rule(contract, entitlement, zone=zone) for contract, granted in rights for entitlement in granted]
    return Grant(
        subscriber_id=key.subscriber_id,
        subscriber=key.subscriber.code,
        key_id=key.public_id,
        scopes=frozenset(key.scopes) & frozenset(SCOPES),
        rules=(*rules, *(public_rules() if public is None else public)),
        limits=highest(_limits(contract) for contract in current),
        expires_ns=nanoseconds(key.expires_at) if key.expires_at else None,
        ends_ns=_end_of(contracts, _day(at, zone), zone=zone),
    )


def rights_of(subscriber_ids: Collection[int]) -> dict[int, list[ContractRows]]:
    """Each subscriber's contracts with their entitlements, in two queries.

    Not by `prefetch_related`: rows that know their lists, whose rows know them, are rings. They wait for the collector,
    and ten thousand logins leave 60 MB of them.
    """
    found: dict[int, list[ContractRows]] = {}
    granted: dict[int, list[Entitlement]] = {}
    # By primary key: the models' own order would join three tables more to sort by their names.
    for contract in Contract.objects.filter(subscriber__in=subscriber_ids).order_by("pk"):
        found.setdefault(contract.subscriber_id, []).append((contract, granted.setdefault(contract.pk, [])))
    rows = Entitlement.objects.filter(contract__subscriber__in=subscriber_ids).select_related("product").order_by("pk")
    for entitlement in rows:
        granted.setdefault(entitlement.contract_id, []).append(entitlement)
    return found


def public_rules() -> tuple[ProductRule, ...]:
    return tuple(
        _product_rule(product, words=f"public product {product.code}", symbols=None, window=(None, None))
        for product in Product.objects.filter(public=True)
    )


def delays() -> list[int]:
    """The delays in seconds of the products that somebody has, or that everybody may have."""
    rows = Product.objects.filter(Q(public=True) | Q(entitlements__isnull=False), timeliness="delayed")
    return sorted(set(rows.values_list("delay_s", flat=True)))


def nanoseconds(at: datetime) -> int:
    """Since the epoch, to the microsecond."""
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000


def _rule(contract: Contract, entitlement: Entitlement, *, zone: ZoneInfo) -> ProductRule:
    starts_on = max(filter(None, (contract.starts_on, entitlement.starts_on)))
    ends_on = min(filter(None, (contract.ends_on, entitlement.ends_on)), default=None)
    window = (_midnight(starts_on, zone), _midnight(ends_on + timedelta(days=1), zone) if ends_on else None)
    words = f"product {entitlement.product.code} by contract {contract.number}, entitlement {entitlement.pk}"
    return _product_rule(entitlement.product, words=words, symbols=entitlement.symbols, window=window)


def _product_rule(
    product: Product, *, words: str, symbols: Sequence[str] | None, window: tuple[int | None, int | None]
) -> ProductRule:
    return ProductRule(
        rule=words,
        product=product.code,
        markets=frozenset(product.markets),
        channels=frozenset(product.channels),
        level=product.level,
        timeliness=product.timeliness,
        delay_s=product.delay_s,
        symbols=frozenset(symbols) if symbols else None,
        starts_ns=window[0],
        ends_ns=window[1],
        public=product.public,
    )


def _limits(contract: Contract) -> Limits:
    return Limits(
        symbols=contract.symbols_max,
        ops_per_s=contract.ops_per_s_max,
        queue_bytes=contract.queue_bytes_max,
        sessions=contract.sessions_max,
        takeover=contract.takeover,
        on_slow=contract.on_slow_max,
    )


def _end_of(contracts: Sequence[Contract], day: date, *, zone: ZoneInfo) -> int | None:
    """When the contracts that hold or follow without a gap are over; None when one of them is open-ended."""
    last = day - timedelta(days=1)
    for contract in sorted(contracts, key=lambda one: one.starts_on):
        if contract.starts_on > last + timedelta(days=1):
            break
        if contract.ends_on is None:
            return None
        last = max(last, contract.ends_on)
    return _midnight(last + timedelta(days=1), zone)


def _holds(contract: Contract, day: date) -> bool:
    return contract.starts_on <= day and (contract.ends_on is None or day <= contract.ends_on)


def _day(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()


def _midnight(day: date, zone: ZoneInfo) -> int:
    return nanoseconds(datetime.combine(day, time(), zone))
