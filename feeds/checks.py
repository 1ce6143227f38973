"""System checks over the feed rows that no single constraint can express (run with --database default)."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from feeds.models import Feed

# What a command that serves no page looks at before it starts: the environment. All checks (`manage.py check`) import
# the portal and the API as well, which is a third of such a start.
START_CHECKS = (Tags.security, Tags.compatibility)


@register(Tags.database)
def feeds_can_be_received(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: object
) -> list[CheckMessage]:
    """Each enabled feed has lines A and B, and no market arrives on two feeds."""
    if not databases:
        return []
    try:
        feeds = list(Feed.objects.filter(enabled=True).prefetch_related("lines"))
    except DatabaseError:
        return []  # not migrated yet
    found: list[CheckMessage] = []
    carriers: dict[str, Feed] = {}
    for feed in feeds:
        found += _lines(feed)
        for market in feed.markets:
            other = carriers.setdefault(market, feed)
            if other is not feed:
                found.append(
                    Error(
                        f"Market {market} is on feed {other} too: its sequence numbers would be mixed.",
                        hint="A market belongs to one enabled feed.",
                        obj=f"Feed {feed}",
                        id="mdds.E102",
                    )
                )
    return found


def _lines(feed: Feed) -> list[CheckMessage]:
    names = sorted(line.name for line in feed.lines.all())
    if not names:
        return [Error("It is enabled but has no line.", hint="Add lines A and B.", obj=f"Feed {feed}", id="mdds.E101")]
    if names != ["A", "B"]:
        hint = "With one line every lost datagram is a gap."
        return [Warning(f"It has line {names[0]} only.", hint=hint, obj=f"Feed {feed}", id="mdds.W101")]
    return []
