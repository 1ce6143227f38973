"""Composes the REST interface: its routers, its edges from the settings, its pages."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI

from mdds_site import stream_docs
from replay import api as replays
from subscriptions.api import edges, entitlements, feeds, history, instruments, snapshots, tokens, usage
from subscriptions.api.errors import ApiError
from subscriptions.api.errors_of_ninja import add_handlers, method_checked, response_of
from subscriptions.api.keys import KeyAuth
from subscriptions.cache.hub_images import HubImages
from subscriptions.cache.redis_images import RedisImages

DESCRIPTION = """The same keys, checks and error codes as the stream: `Authorization: Bearer <API key or token>`.

An error is `{"t":"error","id":null,"code":…,"fatal":false,"retry_after_ms":…,"msg":…}` with the status that fits;
429 and 503 carry `Retry-After`. Lists are paged by opaque cursors. Another subscriber's things answer 404.
"""

api = NinjaAPI(title="MDDS", version="1", description=DESCRIPTION, auth=KeyAuth(), urls_namespace="api-1")
add_handlers(api)
for _part in (tokens, instruments, snapshots, history, replays, entitlements, usage, feeds):
    api.add_router("", _part.router)


@cache
def _images() -> edges.ImageSource | None:
    mdds = settings.MDDS
    if mdds.embedded:
        from subscriptions.gateway.layer import stream_layer

        return HubImages(lambda: stream_layer().hub)
    return RedisImages(mdds.redis_url, prefix=mdds.prefix) if mdds.redis_url else None


def _from_settings() -> edges.ApiEdges:
    mdds = settings.MDDS
    return edges.ApiEdges(
        images=_images(), data_dir=mdds.data_dir, partitions=mdds.partitions, time_zone=mdds.time_zone
    )


edges.install(_from_settings)


@csrf_exempt
def _nothing_here(request: HttpRequest) -> HttpResponse:
    return response_of(ApiError("NOT_FOUND", f"there is nothing at {request.path[:200]}"))


def api_urls() -> tuple[list[URLPattern], str, str]:
    """Everything under `/api/v1/`, for `path("api/v1/", api_urls())`."""
    patterns, application, namespace = api.urls
    for pattern in patterns:
        pattern.callback = method_checked(pattern.callback)
    more = [
        path("asyncapi.yaml", stream_docs.document, name="asyncapi"),
        path("stream", stream_docs.page, name="stream-docs"),
        re_path(r"^.*$", _nothing_here, name="nothing"),
    ]
    return [*patterns, *more], application, namespace
