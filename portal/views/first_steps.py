"""The first-steps page: from an empty database to a streaming client."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from feeds.models import Feed
from portal.access import viewer_required
from portal.status import board
from subscriptions.models import ApiKey, Entitlement


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whether it is done, where to do it, and what to type."""

    title: str
    text: str
    done: bool
    link: str = ""
    link_text: str = ""
    command: str = ""


@require_safe
@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """Five steps, each with its state."""
    return render(request, "portal/first_steps.html", {"section": "first-steps", "steps": _steps(request)})


def _steps(request: HttpRequest) -> list[Step]:
    status = board.snapshot(timezone.now())
    running = {row.kind for row in status.workers if row.light == "green"}
    host = request.get_host().rsplit(":", 1)[0] if not request.get_host().endswith("]") else request.get_host()
    port = settings.MDDS.base_port + (0 if settings.MDDS.bus_url.startswith("memory:") else 1)
    scheme = "wss" if request.is_secure() else "ws"
    return [
        Step(
            "A feed with two lines", "A feed is one exchange's sequenced stream; lines A and B carry equal copies.",
            Feed.objects.filter(enabled=True, lines__isnull=False).exists(),
            reverse("admin:feeds_feed_changelist"), "Feeds",
        ),
        Step(
            "The workers run", "Capture, publisher, parser and gateway: one command starts them in one process.",
            {"capture", "publisher", "parser", "gateway"} <= running,
            reverse("portal:status"), "Status", "bin/run",
        ),
        Step(
            "A subscriber with a contract and an entitlement", "What may be received: products, under a contract.",
            Entitlement.objects.exists(), reverse("admin:subscriptions_subscriber_changelist"), "Subscribers",
        ),
        Step(
            "An API key", "Its secret is shown once, when it is issued.",
            ApiKey.objects.filter(revoked_at=None).exists(),
            reverse("admin:subscriptions_apikey_changelist"), "API keys",
        ),
        Step(
            "A client follows a stream", "Put the key into the environment, then subscribe.",
            bool(status.sessions), reverse("portal:status") + "#sessions", "Sessions",
            f"export MDDS_URL={scheme}://{host}:{port}/stream/v1\nexport MDDS_API_KEY=mdds_live_…\n"
            "mdds sub FPT VNM --ch trade",
        ),
    ]  # fmt: skip
