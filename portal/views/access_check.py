"""The page that says whether a key may have something, and why."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.access import viewer_required
from portal.access_check import AccessForm, answer


@require_safe
@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """The question is in the URL, so that an answer can be sent to somebody."""
    zone = ZoneInfo(settings.MDDS.time_zone)
    form = AccessForm(request.GET if "symbol" in request.GET else None, zone=zone)
    found = None
    if form.is_valid():
        asked = form.cleaned_data
        found = answer(asked["key"], asked["channel"], symbol=asked["symbol"], at=asked["at"], zone=zone)
    return render(request, "portal/access_check.html", {"section": "access", "form": form, "answer": found})
