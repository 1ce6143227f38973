"""The origins of streams: `live`, `delayed:900` (live as it was so many seconds ago), `replay:12`.  [pure]"""

from __future__ import annotations

from subscriptions.gateway.heads import LIVE

_DELAYED = "delayed:"


def delayed_origin(delay_s: int) -> str:
    """The stream space of everybody whose right is delayed by this much; 0 is the live one."""
    return f"{_DELAYED}{delay_s}" if delay_s else LIVE


def delay_of(origin: str) -> int:
    """Seconds that the records of an origin come late on purpose."""
    return int(origin.removeprefix(_DELAYED)) if origin.startswith(_DELAYED) else 0


def lasting(origin: str) -> bool:
    """Live and delayed streams keep their images and stay when nobody follows them; a replay's do not."""
    return origin == LIVE or origin.startswith(_DELAYED)
