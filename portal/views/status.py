"""The status page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.access import viewer_required
from portal.status import board


@require_safe
@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """The path with live numbers; the page keeps itself up to date over /portal/live."""
    return render(request, "portal/status.html", {"section": "status", "status": board.snapshot(timezone.now())})
