"""The market page: a client of the public stream in the browser, opened with a token of the operator's own."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from feeds.models import Instrument
from portal.access import viewer_required
from subscriptions.authentication import AuthError, issue_token
from subscriptions.operator_grants import of_user

SUGGESTED_MAX = 500  # names offered while typing; the search itself takes any name


@require_safe
@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """The page says where the stream is; the script asks for a token, subscribes, and goes on by itself."""
    url = stream_url(request)
    request.csp_connect = url.rsplit("/stream/", 1)[0]  # type: ignore[attr-defined]
    tickers = Instrument.objects.exclude(ticker="").order_by("ticker").values_list("ticker", flat=True).distinct()
    context = {"section": "market", "stream_url": url, "tickers": tickers[:SUGGESTED_MAX]}
    return render(request, "portal/market.html", context)


@require_POST
@viewer_required
def token(request: HttpRequest) -> HttpResponse:
    """A token for one connection, good for minutes. 403 with the code for who may not watch market data."""
    now = timezone.now()
    try:
        text = issue_token(of_user(str(request.user.pk)), at=now)
    except AuthError as error:
        return JsonResponse({"code": error.code, "msg": error.msg}, status=403)
    return JsonResponse({"token": text})


def stream_url(request: HttpRequest) -> str:
    """Of the gateway: this process in the embedded setting, the next port in the distributed one, and the same host and
    port as the portal behind a TLS proxy."""
    scheme = "wss" if request.is_secure() else "ws"
    host = request.get_host()
    if not request.is_secure() and not settings.MDDS.bus_url.startswith("memory:"):
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        host = f"{name}:{settings.MDDS.base_port + 1}"
    return f"{scheme}://{host}/stream/v1"
