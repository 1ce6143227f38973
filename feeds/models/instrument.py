"""Instruments, and what the exchange says of them on each board."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from feeds.config import MARKETS

ISIN_PATTERN = r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$"
PRICE = {"max_digits": 18, "decimal_places": 4, "null": True, "blank": True}


class Instrument(models.Model):
    """One listed symbol; the wire names it by ISIN, clients by ticker."""

    isin = models.CharField(
        "ISIN",
        max_length=12,
        unique=True,
        validators=[RegexValidator(ISIN_PATTERN, "Two letters, nine letters or digits, one digit.")],
    )
    ticker = models.CharField(max_length=32)
    market = models.CharField(max_length=3, choices=[(code, code) for code in MARKETS])
    name = models.CharField(max_length=200, blank=True)
    english_name = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["ticker"]
        constraints = [
            models.UniqueConstraint(
                fields=["market", "ticker"],
                name="instrument_ticker_once_a_market",
                violation_error_message="This market has an instrument with this ticker already.",
            ),
            models.CheckConstraint(condition=Q(isin__regex=ISIN_PATTERN), name="instrument_isin_format"),
            models.CheckConstraint(condition=Q(market__in=MARKETS), name="instrument_market_known"),
            models.CheckConstraint(condition=~Q(ticker=""), name="instrument_ticker_given"),
        ]

    def __str__(self) -> str:
        return self.ticker


class BoardFacts(models.Model):
    """The day's reference, limits and lot of an instrument on one board. An absent limit means none."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="boards")
    board = models.CharField(max_length=2, validators=[RegexValidator(r"^[A-Z][A-Z0-9]$", "A BoardID such as G1.")])
    reference = models.DecimalField(**PRICE)
    ceiling = models.DecimalField(**PRICE)
    floor = models.DecimalField(**PRICE)
    lot = models.DecimalField(max_digits=12, decimal_places=0, null=True, blank=True)

    class Meta:
        ordering = ["board"]
        verbose_name_plural = "board facts"
        constraints = [
            models.UniqueConstraint(fields=["instrument", "board"], name="board_facts_once_a_board"),
            models.CheckConstraint(
                condition=Q(ceiling=None) | Q(floor=None) | Q(ceiling__gte=F("floor")),
                name="board_facts_ceiling_not_below_floor",
                violation_error_message="The ceiling is below the floor.",
            ),
            models.CheckConstraint(condition=Q(lot=None) | Q(lot__gt=0), name="board_facts_lot_positive"),
        ]

    def __str__(self) -> str:
        return self.board
