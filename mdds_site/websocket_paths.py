"""Routes a WebSocket by the start of its path; an unknown path is refused, not an exception."""

from collections.abc import Mapping
from typing import Any


class WebSocketPaths:
    """An ASGI application over others, by path prefix."""

    def __init__(self, applications: Mapping[str, Any]) -> None:
        self.applications = dict(applications)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        for prefix, application in self.applications.items():
            if scope["path"].startswith(prefix):
                try:
                    return await application(scope, receive, send)
                except ValueError as error:
                    if not str(error).startswith("No route found"):
                        raise
                    break  # the URLRouter below knows no such path
        await receive()
        await send({"type": "websocket.close", "code": 4404})
        return None
