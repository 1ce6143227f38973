"""What the REST interface asks of the outside: images, the journal's folder, the clock, the bounds.

The site installs them once (`install`); the routers ask for them at each request (`edges`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from subscriptions.api.errors import ApiError


class ImageSource(Protocol):
    """Where last images come from: the embedded hub, or the hot cache. Raises CacheDown."""

    def get(self, channel: str, symbol: str) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class ApiEdges:
    images: ImageSource | None  # None: this system keeps no images outside its gateways
    data_dir: Path
    partitions: int
    time_zone: str
    clock_ns: Callable[[], int] = time.time_ns


_edges: Callable[[], ApiEdges] | None = None


def install(make: Callable[[], ApiEdges] | None) -> None:
    """Let `edges` answer what `make` gives; it is asked each time."""
    global _edges
    _edges = make


def edges() -> ApiEdges:
    if _edges is None:
        raise ApiError("SHUTDOWN", "this server is not ready: come back in a moment")
    return _edges()
