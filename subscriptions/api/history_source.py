"""Which journal holds a symbol, and what of its history is read for whom."""

from __future__ import annotations

from pathlib import Path

from feeds.config import FeedConfig
from feeds.feed_rows import load_feeds
from feeds.models import Feed, Instrument
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.instruments import find
from subscriptions.api.journal_history import Busy, Page, Wanted, read_page

BACK_NS = tuple(seconds * 1_000_000_000 for seconds in (10, 120, 1_800))  # how far a delayed image is looked for
IMAGES_ROWS_MAX = 5_000

Place = tuple[Instrument, FeedConfig, Path]


def place_of(symbol: str) -> Place:
    """The instrument, and the feed and journal folder of its market. SYMBOL_UNKNOWN, FEED_DOWN."""
    instrument = find(symbol)
    for feed in Feed.objects.filter(enabled=True).order_by("pk"):
        if instrument.market in feed.markets:
            (config,) = load_feeds([feed.name], partitions=edges().partitions)
            return instrument, config, edges().data_dir / "journal" / feed.name
    raise ApiError("FEED_DOWN", f"no feed carries the market {instrument.market}")


def read(place: Place, wanted: Wanted) -> Page:
    """One page of records. OVERLOADED when too many are being read."""
    _, feed, folder = place
    try:
        return read_page(folder, feed, wanted)
    except Busy as error:
        raise ApiError("OVERLOADED", f"{error}: come back in a moment") from None


def last_images(channel: str, symbol: str, *, until_ns: int) -> list[bytes]:
    """The last image per board received before `until_ns`, looked for ever further back; numbers left out."""
    place = place_of(symbol)
    for back_ns in BACK_NS:
        images: dict[bytes, bytes] = {}
        start: tuple[int, int] | None = (until_ns - back_ns, 0)
        while start is not None:
            wanted = Wanted(channel, place[0].ticker, place[0].isin, start[0], until_ns, IMAGES_ROWS_MAX, start[1])
            page = read(place, wanted)
            images |= {_member(line, b'"bd":') + _member(line, b'"mt":'): line for _, line in page.rows}
            start = page.next
        if images:
            return list(images.values())
    return []


def _member(line: bytes, name: bytes) -> bytes:
    at = line.index(name) + len(name)
    return line[at : line.index(b",", at)]
