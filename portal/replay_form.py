"""The form of a replay: what the operator typed, as a request; each error names the field and the value found."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime

from feeds.models import Feed
from replay.estimate import Estimate
from replay.limits import DEFAULT_LIMITS
from replay.submission import ReplayRefused, ReplayRequest

DEFAULT_RANGE = timedelta(minutes=5)
TIME_SHAPE = "%Y-%m-%d %H:%M:%S"
_FIELDS = {"from": "from_at", "to": "to_at", "speed": "speed", "feed": "feed"}


class UtcTimeField(forms.Field):
    """A moment in UTC: `2026-11-20 02:15:00`, seconds may have a fraction, a `Z` or an offset may follow."""

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        if not text:
            return None
        try:
            found = parse_datetime(text)
        except ValueError:
            found = None
        if found is None:
            raise ValidationError(
                f"{self.label}: {text!r} is not a time. Write it in UTC, such as 2026-11-20 02:15:00.", code="invalid"
            )
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class FeedField(forms.ModelChoiceField):
    """A feed by its name."""

    def to_python(self, value: Any) -> Feed | None:
        try:
            return super().to_python(value)
        except ValidationError as error:
            raise ValidationError(f"Feed: there is no feed {str(value)!r}.", code="invalid_choice") from error


class SpeedField(forms.FloatField):
    """A factor of the original timing; 0 does not wait at all."""

    def to_python(self, value: Any) -> float | None:
        try:
            found = super().to_python(value)
        except ValidationError:
            found = math.nan
        if found is not None and not math.isfinite(found):
            limit = f"{DEFAULT_LIMITS.speed_max:g}"
            raise ValidationError(f"Speed: {str(value)!r} is not a number from 0 to {limit}.", code="invalid")
        return found


class ReplayForm(forms.Form):
    """Feed, range and speed."""

    feed = FeedField(
        queryset=Feed.objects.all(), to_field_name="name", empty_label=None,
        error_messages={"required": "Feed: choose one."},
    )  # fmt: skip
    from_at = UtcTimeField(
        label="From",
        error_messages={"required": "From: give a time in UTC."},
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "class": "time"}),
    )
    to_at = UtcTimeField(
        label="To",
        error_messages={"required": "To: give a time in UTC."},
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "class": "time"}),
    )
    speed = SpeedField(
        error_messages={"required": "Speed: give a number, 0 for as fast as possible."},
        widget=forms.NumberInput(attrs={"min": "0", "max": f"{DEFAULT_LIMITS.speed_max:g}", "step": "any"}),
    )

    @classmethod
    def for_the_last_minutes(cls, now: datetime) -> ReplayForm:
        """An empty form, filled in for the last five minutes."""
        first = Feed.objects.filter(enabled=True).values_list("name", flat=True).first()
        end = now.replace(microsecond=0)
        return cls(
            initial={
                "feed": first,
                "from_at": (end - DEFAULT_RANGE).strftime(TIME_SHAPE),
                "to_at": end.strftime(TIME_SHAPE),
                "speed": 1,
            }
        )

    def request(self) -> ReplayRequest:
        """What a valid form asks for."""
        data = self.cleaned_data
        return ReplayRequest(data["feed"], data["from_at"], data["to_at"], data["speed"])

    def refuse(self, refusal: ReplayRefused) -> None:
        """Show the refusal at its field."""
        field = _FIELDS[refusal.field]
        self.add_error(field, f"{self.fields[field].label or field.title()}: {refusal.reason}.")

    def play_s(self, estimate: Estimate) -> float:
        """How long the replay would take."""
        request = self.request()
        at_the_cap_s = estimate.messages / DEFAULT_LIMITS.messages_per_s_max
        if request.speed == 0:
            return at_the_cap_s
        return max(at_the_cap_s, (request.to_at - request.from_at).total_seconds() / request.speed)
