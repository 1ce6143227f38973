"""Answers "may this key have this, at this time, and by which rule" with the gateway's own function."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from feeds.models import Instrument
from subscriptions.authentication import AuthError, anonymous_grant, refresh_grant
from subscriptions.entitlements import CHANNELS, Grant, effective_access, market_of, market_of_index
from subscriptions.models import ApiKey

NOBODY = ""  # a client without a key


class AccessForm(forms.Form):
    key = forms.ChoiceField(required=False, label="API key")
    channel = forms.ChoiceField(choices=[(name, name) for name in CHANNELS])
    symbol = forms.CharField(max_length=64, help_text="FPT, VNINDEX, board:STO.G1 or * for all")
    at = forms.DateTimeField(
        required=False,
        label="At",
        help_text="In the trading day's time zone; empty: now",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )

    def __init__(self, *args: object, zone: ZoneInfo, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.zone = zone
        keys = ApiKey.objects.select_related("subscriber").order_by("subscriber__code", "name")
        named = [(key.public_id, f"{key.subscriber.code}: {key.name} ({key.public_id})") for key in keys]
        self.fields["key"].choices = [(NOBODY, "no key (public products)"), *named]  # type: ignore[attr-defined]

    def clean_at(self) -> datetime:
        at: datetime | None = self.cleaned_data["at"]
        if at is None:
            return timezone.now()
        return at.replace(tzinfo=self.zone)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """`code` is empty when allowed; `rule` says what decided, `rows` what else the grant holds for this channel."""

    allowed: bool
    code: str
    rule: str
    timeliness: str
    delay_s: int
    level: int
    market: str
    rows: tuple[tuple[str, str], ...] = ()


def answer(key_id: str, channel: str, *, symbol: str, at: datetime, zone: ZoneInfo) -> Answer:
    """The answer that a session of this key would get at this time, with the rows as they are now."""
    market = _market(channel, symbol)
    try:
        grant = anonymous_grant() if key_id == NOBODY else refresh_grant(key_id, at)
    except AuthError as error:
        return Answer(False, error.code, error.msg, "", 0, 0, market or "")
    at_ns = int(at.timestamp()) * 1_000_000_000
    found = effective_access(grant, channel, symbol=symbol, market=market, at_ns=at_ns, timeliness="delayed")
    return Answer(
        allowed=found.allowed,
        code=found.code or "",
        rule=found.rule,
        timeliness=found.timeliness,
        delay_s=found.delay_s,
        level=found.level,
        market=market or "",
        rows=_rules(grant, channel, zone=zone),
    )


def _market(channel: str, symbol: str) -> str | None:
    found = Instrument.objects.filter(ticker=symbol).order_by("market").values_list("market", flat=True).first()
    if found is not None:
        return str(found)
    return market_of_index(symbol) if channel == "index" else market_of(symbol)


def _rules(grant: Grant, channel: str, *, zone: ZoneInfo) -> tuple[tuple[str, str], ...]:
    rows = []
    for rule in grant.rules:
        if channel not in rule.channels:
            continue
        symbols = ", ".join(sorted(rule.symbols)) if rule.symbols is not None else "every symbol"
        when = f"from {_day(rule.starts_ns, zone)}" if rule.starts_ns is not None else "always"
        if rule.ends_ns is not None:
            when += f" until {_day(rule.ends_ns - 1_000_000_000, zone)}"
        late = f"delayed by {rule.delay_s} s" if rule.delay_s else "real-time"
        markets = ", ".join(sorted(rule.markets))
        rows.append((rule.rule, f"{symbols} on {markets}; level {rule.level}; {late}; {when}"))
    return tuple(rows)


def _day(at_ns: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, zone):%Y-%m-%d}"
