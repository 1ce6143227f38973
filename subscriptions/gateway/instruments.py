"""Reads the instruments from the database in a thread of its own, for the gateway's catalog."""

from __future__ import annotations

from channels.db import database_sync_to_async

from feeds.feed_rows import load_instruments


async def read_instruments() -> dict[str, tuple[str, str]]:
    """ISIN → (ticker, market)."""
    return await database_sync_to_async(load_instruments, thread_sensitive=False)()
