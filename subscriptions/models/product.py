"""Products: what can be sold, as markets times channels times level times timeliness."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from feeds.config import MARKETS
from feeds.fields import CodeListField
from subscriptions.entitlements import CHANNELS, LEVEL_MAX

DELAY_S_MAX = 24 * 3600


class Product(models.Model):
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    markets = CodeListField(codes=MARKETS)
    channels = CodeListField(codes=CHANNELS)
    level = models.PositiveSmallIntegerField(
        default=LEVEL_MAX,
        validators=[MinValueValidator(1), MaxValueValidator(LEVEL_MAX)],
        help_text="Price levels of the book at most; 1 is best bid and offer only.",
    )
    timeliness = models.CharField(
        max_length=8, choices=[("realtime", "real-time"), ("delayed", "delayed")], default="realtime"
    )
    delay_s = models.PositiveIntegerField("delay (s)", default=0, validators=[MaxValueValidator(DELAY_S_MAX)])
    public = models.BooleanField(default=False, help_text="Anyone may have it, without a key.")

    class Meta:
        ordering = ["code"]
        permissions = [("view_market_data", "Can watch live market data in the portal")]
        constraints = [
            models.CheckConstraint(condition=Q(level__gte=1, level__lte=LEVEL_MAX), name="product_level_in_range"),
            models.CheckConstraint(
                condition=Q(timeliness="realtime", delay_s=0)
                | Q(timeliness="delayed", delay_s__gte=1, delay_s__lte=DELAY_S_MAX),
                name="product_delay_fits_timeliness",
                violation_error_message="Real-time has no delay; delayed needs one of 1 second to a day.",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        if self.public and "account" in self.channels:
            raise ValidationError({"channels": "'account' is private; a public product cannot carry it."})
