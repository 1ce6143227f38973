"""`/entitlements`: what a key may see, and why."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import HttpRequest
from ninja import Query, Router, Schema

from subscriptions.api.access import check_timeliness, decide
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of
from subscriptions.entitlements import CHANNELS, ProductRule
from subscriptions.grants import nanoseconds

router = Router(tags=["entitlements"])


class EntitlementRow(Schema):
    product: str
    rule: str
    markets: list[str]
    channels: list[str]
    level: int
    timeliness: str
    delay_s: int
    symbols: list[str] | None
    starts_at: datetime | None
    ends_at: datetime | None
    public: bool


class LimitsRow(Schema):
    symbols: int
    ops_per_s: int
    queue_bytes: int
    sessions: int
    on_slow: str


class EntitlementList(Schema):
    subscriber: str
    key: str
    scopes: list[str]
    expires_at: datetime | None
    limits: LimitsRow
    entitlements: list[EntitlementRow]


class Effective(Schema):
    channel: str
    symbol: str
    at: datetime
    allowed: bool
    code: str | None
    rule: str
    level: int
    timeliness: str
    delay_s: int


class EffectiveQuery(Schema):
    channel: str
    symbol: str
    at: datetime | None = None
    timeliness: str | None = None


@router.get("/entitlements", response=EntitlementList, summary="Mine")
def mine(request: HttpRequest) -> EntitlementList:
    """Every rule of the key, those whose time has passed or is still to come included."""
    grant = grant_of(request)
    limits = grant.limits
    return EntitlementList(
        subscriber=grant.subscriber,
        key=grant.key_id,
        scopes=sorted(grant.scopes),
        expires_at=_at(grant.expires_ns),
        limits=LimitsRow(
            symbols=limits.symbols,
            ops_per_s=limits.ops_per_s,
            queue_bytes=limits.queue_bytes,
            sessions=limits.sessions,
            on_slow=limits.on_slow,
        ),
        entitlements=[_row(rule) for rule in grant.rules],
    )


@router.get("/entitlements/effective", response=Effective, summary="May I see this, and which rule says so?")
def effective(request: HttpRequest, query: Query[EffectiveQuery]) -> Effective:
    """The same decision that the stream and the snapshots make, for now or for another time `at`."""
    if query.channel not in CHANNELS:
        raise ApiError("BAD_PARAM", f"channel: expected one of {', '.join(CHANNELS)}")
    at_ns = edges().clock_ns()
    if query.at is not None:
        at = query.at if query.at.tzinfo else query.at.replace(tzinfo=UTC)
        at_ns = nanoseconds(at)
    decision = decide(
        grant_of(request),
        query.channel,
        symbol=query.symbol[:64],
        at_ns=at_ns,
        timeliness=check_timeliness(query.timeliness),
    )
    at_shown = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return Effective(
        channel=query.channel,
        symbol=query.symbol[:64],
        at=at_shown,
        allowed=decision.allowed,
        code=decision.code,
        rule=decision.rule,
        level=decision.level,
        timeliness=decision.timeliness,
        delay_s=decision.delay_s,
    )


def _row(rule: ProductRule) -> EntitlementRow:
    return EntitlementRow(
        product=rule.product,
        rule=rule.rule,
        markets=sorted(rule.markets),
        channels=[channel for channel in CHANNELS if channel in rule.channels],
        level=rule.level,
        timeliness=rule.timeliness,
        delay_s=rule.delay_s,
        symbols=sorted(rule.symbols) if rule.symbols is not None else None,
        starts_at=_at(rule.starts_ns),
        ends_at=_at(rule.ends_ns),
        public=rule.public,
    )


def _at(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
