"""API keys: who may connect; only a digest of the secret is kept."""

import ipaddress

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from feeds.fields import CodeListField
from subscriptions.entitlements import SCOPES
from subscriptions.models.subscriber import Subscriber


def default_scopes() -> list[str]:
    return list(SCOPES)


def addresses_valid(value: object) -> None:
    """A list of addresses or networks."""
    if not isinstance(value, list):
        raise ValidationError(f"{value!r} is not a list of addresses.")
    for text in value:
        try:
            ipaddress.ip_network(text)
        except (ValueError, TypeError) as error:
            raise ValidationError(f"{text!r} is not an address or network: {error}.") from error


class ApiKey(models.Model):
    subscriber = models.ForeignKey(Subscriber, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="What the key is for, such as the server that holds it.")
    public_id = models.CharField(
        max_length=8, unique=True, editable=False, validators=[RegexValidator(r"^[0-9A-Za-z]{8}\Z")]
    )
    digest = models.CharField(max_length=64, editable=False)
    scopes = CodeListField(codes=SCOPES, default=default_scopes)
    addresses = models.JSONField(
        "allowed addresses",
        default=list,
        blank=True,
        validators=[addresses_valid],
        help_text='Addresses or networks such as ["203.0.113.0/24"]; empty: any.',
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    replaces = models.OneToOneField(
        "self", null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="replaced_by"
    )  # one to one: of two who rotate a key at once, one does

    class Meta:
        ordering = ["subscriber", "-created_at"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="api_key_digest_format"),
            models.CheckConstraint(condition=Q(public_id__regex=r"^[0-9A-Za-z]{8}$"), name="api_key_public_id_format"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"
