"""Exchanges, their feeds, and each feed's two lines."""

import ipaddress
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from feeds.config import LINE_NAMES, MARKETS
from feeds.fields import CodeListField

CODE = RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z", "Letters, digits, - and _, beginning with a letter or digit.")


def time_zone_known(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(f"{name!r} is not a time zone such as Asia/Ho_Chi_Minh.") from error


class Exchange(models.Model):
    code = models.CharField(max_length=16, unique=True, validators=[CODE])
    name = models.CharField(max_length=100)
    timezone = models.CharField(max_length=64, default="Asia/Ho_Chi_Minh", validators=[time_zone_known])

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class Feed(models.Model):
    """One sequenced stream of an exchange, received on two lines."""

    name = models.CharField(max_length=16, unique=True, validators=[CODE], help_text="Also the journal's folder.")
    exchange = models.ForeignKey(Exchange, on_delete=models.PROTECT, related_name="feeds")
    markets = CodeListField(codes=MARKETS, help_text="KRX MarketIDs carried by this feed.")
    enabled = models.BooleanField(default=True)
    gap_wait_ms = models.PositiveIntegerField(
        "gap wait (ms)",
        default=200,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="How long a missing message is waited for before a gap is declared.",
    )
    gap_messages_max = models.PositiveIntegerField(
        "gap messages",
        default=1_000,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text="How many later messages are held while waiting; one more declares the gap.",
    )
    receive_buffer_bytes = models.PositiveIntegerField(
        default=200 << 20,
        validators=[MinValueValidator(65_536), MaxValueValidator(1 << 30)],
        help_text="Bytes of kernel memory asked for per line: rate x stall x about 1.3 KiB a datagram.",
    )

    line_silent_ms = models.PositiveIntegerField(
        "line silent (ms)",
        default=3_000,
        validators=[MinValueValidator(100), MaxValueValidator(600_000)],
        help_text="A line that brought nothing for so long, its heartbeats included, is silent.",
    )
    line_down_ms = models.PositiveIntegerField(
        "line down (ms)",
        default=10_000,
        validators=[MinValueValidator(100), MaxValueValidator(3_600_000)],
        help_text="A line that stays silent for so long while data is expected is down.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(gap_wait_ms__gte=1, gap_wait_ms__lte=10_000), name="feed_gap_wait_ms_in_range"
            ),
            models.CheckConstraint(
                condition=Q(gap_messages_max__gte=1, gap_messages_max__lte=1_000_000), name="feed_gap_messages_in_range"
            ),
            models.CheckConstraint(
                condition=Q(receive_buffer_bytes__gte=65_536, receive_buffer_bytes__lte=1 << 30),
                name="feed_receive_buffer_in_range",
            ),
            models.CheckConstraint(
                condition=Q(line_silent_ms__gte=100, line_down_ms__gte=F("line_silent_ms")),
                name="feed_line_down_not_before_silent",
                violation_error_message="A line is down only after it is silent.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Line(models.Model):
    """One of a feed's two equal copies."""

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="lines")
    name = models.CharField(max_length=1, choices=[(name, name) for name in LINE_NAMES])
    group = models.GenericIPAddressField(
        protocol="IPv4", help_text="Multicast group, or the local address for plain UDP."
    )
    port = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65_535)])
    source = models.GenericIPAddressField(
        protocol="IPv4", null=True, blank=True, help_text="Sender's address, for source-specific multicast."
    )
    interface = models.GenericIPAddressField(
        protocol="IPv4", default="0.0.0.0", help_text="Interface address to join on; 0.0.0.0: the system chooses."
    )

    class Meta:
        ordering = ["feed", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["feed", "name"],
                name="line_one_a_one_b",
                violation_error_message="This feed has this line already.",
            ),
            models.UniqueConstraint(
                fields=["group", "port"],
                name="line_group_port_unique",
                violation_error_message="Another line uses this group and port: the two would hear each other.",
            ),
            models.CheckConstraint(condition=Q(name__in=LINE_NAMES), name="line_name_a_or_b"),
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65_535), name="line_port_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.feed_id and self.feed.name}/{self.name}"

    def clean(self) -> None:
        if self.source and _is_multicast(self.group) is False:
            raise ValidationError({"source": f"{self.group} is no multicast group; a source needs one."})
        if _is_multicast(self.source):
            raise ValidationError({"source": f"{self.source} is a multicast group, not a sender."})
        if _is_multicast(self.interface):
            raise ValidationError({"interface": f"{self.interface} is a multicast group, not an interface."})


def _is_multicast(address: str | None) -> bool | None:
    """None when it is no address: the field's own validator says so."""
    try:
        return ipaddress.IPv4Address(address or "").is_multicast
    except ipaddress.AddressValueError:
        return None
