"""The few HTTP paths of a gateway process: health and metrics, nothing else."""

import json
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def gateway_http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    path = scope["path"]
    if scope["method"] not in {"GET", "HEAD"}:
        return await _answer(send, 405, "application/json", b'{"error":"method not allowed"}')
    if path in {"/health/live", "/health/ready"}:
        # Ready without a database: live sessions go on with cached grants, new logins fail closed.
        return await _answer(send, 200, "application/json", json.dumps({"status": path.rsplit("/")[-1]}).encode())
    if path == "/metrics":
        return await _answer(send, 200, CONTENT_TYPE_LATEST, generate_latest())
    return await _answer(send, 404, "application/json", b'{"error":"not found"}')


async def _answer(send: Any, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
