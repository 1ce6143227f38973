"""The REST interface of the server: snapshots, instruments, usage; the same key, the same errors as the stream."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from decimal import Decimal
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

from mdds_client.closings import read_refusal
from mdds_client.errors import ConnectionFailed
from mdds_client.records import RECORD_OF_CHANNEL, Record
from mdds_client.settings import Settings, api_url, is_loopback
from mdds_client.version import __version__

ANSWER_BYTES_MAX = 64 * 1024 * 1024  # a longer answer is refused
PAGES_MAX = 10_000


class Rest:
    """One request at a time, each in a thread: the standard library's client blocks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.url = api_url(settings)
        handlers: list[urllib.request.BaseHandler] = []
        if is_loopback(self.url):
            handlers.append(urllib.request.ProxyHandler({}))
        if settings.ssl_context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=settings.ssl_context))
        self._open = urllib.request.build_opener(*handlers).open

    async def get(self, path: str, **query: object) -> Any:
        """The JSON answer of `GET /api/v1/<path>`; raises what the error code mirrors."""
        wanted = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}/{path}" + (f"?{urlencode(wanted)}" if wanted else "")
        return await asyncio.to_thread(self._call, url)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer of `POST /api/v1/<path>`."""
        return await asyncio.to_thread(self._call, f"{self.url}/{path}", "POST", body)

    async def delete(self, path: str) -> Any:
        """The JSON answer of `DELETE /api/v1/<path>`, None when it has no body."""
        return await asyncio.to_thread(self._call, f"{self.url}/{path}", "DELETE")

    async def pages(self, path: str, member: str, **query: object) -> AsyncIterator[Any]:
        """The elements of a list, page after page."""
        cursor: object = None
        for _ in range(PAGES_MAX):
            page = await self.get(path, **query, cursor=cursor)
            for element in page[member]:
                yield element
            cursor = page.get("next")
            if cursor is None:
                return

    async def snapshot(self, channel: str, symbol: str, *, depth: int | None = None) -> list[Record]:
        """The last records of a stream, one for each board (and type), oldest first."""
        answer = await self.get(f"snapshot/{quote(channel, safe='')}/{quote(symbol, safe='')}", depth=depth)
        rows = answer["records"] if isinstance(answer, dict) else answer
        kind = RECORD_OF_CHANNEL.get(channel, Record)
        return [kind(row, json.dumps(row, separators=(",", ":"), ensure_ascii=False, default=_number)) for row in rows]

    def _call(self, url: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        headers = {"Accept": "application/json", "User-Agent": f"mdds-client/{__version__}"}
        if self._settings.api_key is not None:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=sent, headers=headers, method=method)
        try:
            with self._open(request, timeout=self._settings.request_timeout_s) as response:
                answer = response.read(ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as refused:
            with refused:
                text = refused.read(4096).decode("utf-8", "replace")
                raise read_refusal(refused.code, text, retry_after_s=refused.headers.get("Retry-After")).error from None
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise ConnectionFailed(f"no answer from {url.partition('?')[0]}: {why}") from None
        if len(answer) > ANSWER_BYTES_MAX:
            raise ConnectionFailed(f"the answer of {url.partition('?')[0]} is longer than {ANSWER_BYTES_MAX} bytes")
        if not answer:
            return None
        try:
            return json.loads(answer, parse_float=Decimal if self._settings.exact else None)
        except ValueError:
            raise ConnectionFailed(f"{url.partition('?')[0]} did not answer with JSON; is it MDDS_API_URL?") from None


def _number(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
