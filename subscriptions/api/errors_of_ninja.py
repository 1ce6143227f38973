"""Turns what the framework refuses into the interface's own errors, so that a client reads one shape only."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from subscriptions.api.errors import ApiError
from subscriptions.cache.store import CacheDown

log = logging.getLogger(__name__)


def response_of(error: ApiError) -> HttpResponse:
    body = json.dumps(error.body(), ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(body, status=error.status, content_type="application/json", headers=error.headers())


def add_handlers(api: NinjaAPI) -> None:
    @api.exception_handler(ApiError)
    def ours(request: HttpRequest, error: ApiError) -> HttpResponse:
        return response_of(error)

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return response_of(ApiError("BAD_PARAM", "; ".join(_words(one) for one in error.errors[:5])))

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return response_of(ApiError("NOT_FOUND", "there is nothing here"))

    @api.exception_handler(HttpError)
    def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
        code = {400: "BAD_JSON", 413: "TOO_LARGE"}.get(error.status_code, "BAD_PARAM")
        return response_of(ApiError(code, str(error)))

    @api.exception_handler(CacheDown)
    def cache_down(request: HttpRequest, error: CacheDown) -> HttpResponse:
        log.warning("no images: %s", error)
        return response_of(ApiError("OVERLOADED", "the last images cannot be read right now"))

    @api.exception_handler(Exception)
    def failed(request: HttpRequest, error: Exception) -> HttpResponse:
        log.exception("%s %s", request.method, request.path, exc_info=error)
        return response_of(ApiError("INTERNAL", "the server failed on this request"))


def method_checked(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view whose refusal of a method has our shape too; `Allow` stays."""

    def checked(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if response.status_code != 405:
            return response
        refusal = response_of(ApiError("METHOD_NOT_ALLOWED", f"{request.method} is not served here"))
        refusal["Allow"] = response["Allow"]
        return refusal

    checked.csrf_exempt = getattr(view, "csrf_exempt", False)  # type: ignore[attr-defined]
    return checked


def _words(error: dict[str, object]) -> str:
    """`limit: Input should be a valid integer`."""
    where = error.get("loc")
    names = [str(part) for part in where if part not in ("query", "body", "path", "header")] if where else []  # type: ignore[attr-defined]
    return f"{'.'.join(names[-2:]) or 'request'}: {error.get('msg', 'is not valid')}"[:200]
