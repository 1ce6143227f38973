"""The interface of a hot cache, whatever keeps it; `MemoryImages` is its twin in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Protocol

from subscriptions.cache.images import StreamImages, key_of, lines_of, merge


class CacheDown(ConnectionError):
    """The cache cannot be reached, or does not answer in time."""


class ImageStore(Protocol):
    """Synchronous and thread-safe; every call may take as long as a socket timeout. Raises CacheDown."""

    def put(self, batch: Mapping[bytes, StreamImages]) -> int:
        """Write images, each unless a newer one, by (epoch, n), is there; how many were written."""

    def get(self, channel: str, symbol: str) -> list[bytes]:
        """The last images of one stream, oldest first; empty when there is none."""

    def every(self) -> Iterator[list[bytes]]:
        """The images of all streams, some lines at a time."""

    def holds(self, mark: str) -> bool:
        """Whether the store still has the mark that was set last; it has not when it was emptied."""

    def set_mark(self, mark: str) -> None: ...

    def close(self) -> None: ...


class MemoryImages:
    """A store in this process, for tests and for a system without Redis."""

    def __init__(self) -> None:
        self.streams: dict[bytes, StreamImages] = {}
        self._mark = ""
        self._lock = threading.Lock()

    def put(self, batch: Mapping[bytes, StreamImages]) -> int:
        with self._lock:
            return sum(
                merge(self.streams, key, image, epoch=stream.epoch)
                for key, stream in batch.items()
                for image in stream.images.values()
            )

    def get(self, channel: str, symbol: str) -> list[bytes]:
        with self._lock:
            stream = self.streams.get(key_of(channel, symbol))
            return lines_of(stream.images.values()) if stream is not None else []

    def every(self) -> Iterator[list[bytes]]:
        with self._lock:
            found = [lines_of(stream.images.values()) for stream in self.streams.values()]
        yield from found

    def holds(self, mark: str) -> bool:
        return self._mark == mark

    def set_mark(self, mark: str) -> None:
        self._mark = mark

    def close(self) -> None:
        """Nothing is held."""
