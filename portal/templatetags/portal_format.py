"""Template filters and tags: numbers, times and commands as the portal writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal import quantities
from portal.access import roles_of

register = template.Library()

register.filter("count", quantities.count)
register.filter("rate", quantities.rate)
register.filter("size", quantities.size)
register.filter("milliseconds", quantities.milliseconds)
register.filter("duration", quantities.duration)
register.filter("roles", lambda user: ", ".join(sorted(roles_of(user))) if not user.is_superuser else "superuser")


@register.filter
def utc(at: datetime | None) -> SafeString | str:
    """A moment in UTC; the page adds the local time on hover."""
    if at is None:
        return "–"
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{}</time>', at.isoformat(timespec="milliseconds"), at.strftime("%Y-%m-%d %H:%M:%S")
    )


@register.filter
def speed(factor: float) -> str:
    """`10×`, or in words."""
    return f"{factor:g}×" if factor else "as fast as possible"


@register.inclusion_tag("portal/parts/command.html")
def command(text: str) -> dict[str, str]:
    """A command to copy."""
    return {"text": text}


@register.inclusion_tag("portal/parts/light.html")
def light(colour: str, label: str = "") -> dict[str, str]:
    """A status light; its meaning is also in the text, never in the colour alone."""
    return {"colour": colour, "label": label or _MEANINGS.get(colour, colour)}


_MEANINGS = {"green": "good", "amber": "needs a look", "red": "broken", "grey": "idle"}
