"""The trading calendar an operator edits: the phases of a market's day, and the days that are unlike the others."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from feeds.config import MARKETS
from feeds.fields import CodeListField
from feeds.krx.trading_day import PHASES, TRADING_DAYS, WEEKDAYS
from feeds.models.feed import Exchange


def trading_days() -> list[str]:
    """Monday to Friday."""
    return list(TRADING_DAYS)


class TradingSession(models.Model):
    """One phase of a market's day. Outside of all phases the market is closed."""

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="trading_sessions")
    market = models.CharField(max_length=3, choices=[(code, code) for code in MARKETS])
    weekdays = CodeListField(codes=WEEKDAYS, default=trading_days)
    phase = models.CharField(max_length=20, choices=[(name, name.replace("_", " ")) for name in PHASES])
    starts_at = models.TimeField(help_text="In the exchange's time zone.")
    ends_at = models.TimeField()
    expects_data = models.BooleanField(default=True, help_text="Silence in this phase is trouble (stale).")

    class Meta:
        ordering = ["exchange", "market", "starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="trading_session_ends_after_start",
                violation_error_message="A phase ends after it starts.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.get_phase_display()} {self.starts_at:%H:%M}–{self.ends_at:%H:%M}"

    def clean(self) -> None:
        """Two phases of a market do not overlap."""
        if not (self.exchange_id and self.starts_at and self.ends_at):
            return
        others = TradingSession.objects.filter(
            exchange=self.exchange_id, market=self.market, starts_at__lt=self.ends_at, ends_at__gt=self.starts_at
        ).exclude(pk=self.pk)
        for other in others:
            if set(other.weekdays) & set(self.weekdays or []):
                raise ValidationError(f"It overlaps with {other}.")


class SpecialDay(models.Model):
    """A holiday, or a half day on which everything ends at `closes_at`."""

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="special_days")
    date = models.DateField()
    name = models.CharField(max_length=100)
    closes_at = models.TimeField(null=True, blank=True, help_text="A half day ends then; empty: closed all day.")

    class Meta:
        ordering = ["exchange", "date"]
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "date"],
                name="special_day_once",
                violation_error_message="This exchange has this day already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.name}"

    @property
    def weekday(self) -> str:
        return WEEKDAYS[self.date.weekday()]
