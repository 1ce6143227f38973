"""The page of one feed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from feeds.models import Feed
from portal.access import viewer_required
from portal.feed_view import feed_page
from portal.status import board


@require_safe
@viewer_required
def page(request: HttpRequest, name: str) -> HttpResponse:
    """State, lines against each other, gaps and history."""
    feed = get_object_or_404(Feed.objects.select_related("exchange").prefetch_related("lines"), name=name)
    shown = feed_page(feed, board.sample(timezone.now()))
    return render(request, "portal/feed.html", {"section": "status", "page": shown})
