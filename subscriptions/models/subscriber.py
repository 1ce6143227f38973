"""Subscribers, their contracts, and what each contract entitles them to."""

import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from subscriptions.entitlements import ON_SLOW
from subscriptions.models.product import Product

ENDS_BEFORE_START = "It ends before it starts."


class Subscriber(models.Model):
    """A company (or person) that receives data."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    contact_email = models.EmailField(blank=True)
    professional = models.BooleanField(default=True, help_text="Professional user in the sense of the exchange's fees.")
    blocked = models.BooleanField(default=False, help_text="No key of a blocked subscriber works.")

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class Contract(models.Model):
    """A period in which a subscriber may receive data, with the limits of its plan."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.PROTECT, related_name="contracts")
    number = models.CharField(max_length=40, unique=True)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The last day; empty: open-ended.")
    sessions_max = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1)])
    symbols_max = models.PositiveIntegerField(default=1024, validators=[MinValueValidator(1)])
    ops_per_s_max = models.PositiveIntegerField("operations/s", default=10, validators=[MinValueValidator(1)])
    queue_bytes_max = models.PositiveIntegerField(
        default=1_048_576, validators=[MinValueValidator(65_536)], help_text="Bytes a slow client may be behind."
    )

    takeover = models.BooleanField(
        "take-over", default=False, help_text="A session over the limit ends the oldest one instead of being refused."
    )

    on_slow_max = models.CharField(
        "slow clients",
        max_length=10,
        default="skip",
        choices=[
            ("disconnect", "are cut at their queue's bound"),
            ("conflate", "get the newest images, events are skipped"),
            ("skip", "may also ask for every image, with the ranges of those left out"),
        ],
        help_text="The most that a client which cannot keep up may ask for with on_slow.",
    )

    class Meta:
        ordering = ["subscriber", "number"]
        constraints = [
            models.CheckConstraint(condition=Q(on_slow_max__in=ON_SLOW), name="contract_on_slow_known"),
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(ends_on__gte=F("starts_on")),
                name="contract_ends_after_start",
                violation_error_message=ENDS_BEFORE_START,
            ),
            models.CheckConstraint(
                condition=Q(sessions_max__gte=1, symbols_max__gte=1, ops_per_s_max__gte=1, queue_bytes_max__gte=65_536),
                name="contract_limits_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    def clean(self) -> None:
        """Refuses dates that leave an entitlement outside."""
        if not self.pk or not self.starts_on:
            return
        for entitlement in self.entitlements.select_related("product"):
            problem = outside(entitlement, contract=self)
            if problem:
                raise ValidationError(f"Entitlement to {entitlement.product}: {problem}")


class Entitlement(models.Model):
    """The right of a contract to a product."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="entitlements")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="entitlements")
    starts_on = models.DateField(null=True, blank=True, help_text="Empty: with the contract.")
    ends_on = models.DateField(null=True, blank=True, help_text="The last day; empty: with the contract.")
    symbols = models.JSONField(
        null=True, blank=True, help_text='A list of tickers such as ["FPT", "VNM"]; empty: all symbols of the product.'
    )

    class Meta:
        ordering = ["contract", "product"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "product", "starts_on"],
                name="entitlement_once_a_start",
                violation_error_message="The contract has this product from this day already.",
            ),
            models.UniqueConstraint(
                fields=["contract", "product"],
                condition=Q(starts_on=None),
                name="entitlement_once_from_contract_start",
                violation_error_message="The contract has this product from its start already.",
            ),
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(starts_on=None) | Q(ends_on__gte=F("starts_on")),
                name="entitlement_ends_after_start",
                violation_error_message=ENDS_BEFORE_START,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract} to {self.product}"

    def clean(self) -> None:
        if self.symbols is not None:
            symbols = self.symbols
            if not isinstance(symbols, list) or not all(isinstance(name, str) and name.strip() for name in symbols):
                raise ValidationError({"symbols": f"{symbols!r} is not a list of tickers."})
            self.symbols = symbols or None
        if self.contract_id:
            problem = outside(self, contract=self.contract)
            if problem:
                raise ValidationError(problem)


def outside(entitlement: Entitlement, *, contract: Contract) -> str:
    """In words, how the entitlement's dates leave its contract's; empty when they do not."""
    starts_on: datetime.date | None = entitlement.starts_on
    ends_on: datetime.date | None = entitlement.ends_on
    if starts_on and starts_on < contract.starts_on:
        return f"starts on {starts_on}, before its contract {contract} on {contract.starts_on}."
    if contract.ends_on and ends_on and ends_on > contract.ends_on:
        return f"ends on {ends_on}, after its contract {contract} on {contract.ends_on}."
    if contract.ends_on and starts_on and starts_on > contract.ends_on:
        return f"starts on {starts_on}, after its contract {contract} ended on {contract.ends_on}."
    if ends_on and ends_on < contract.starts_on:
        return f"ends on {ends_on}, before its contract {contract} starts on {contract.starts_on}."
    return ""
