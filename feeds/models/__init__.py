"""The upstream rows: exchanges with their calendars, feeds with lines and history, instruments, heartbeats."""

from feeds.models.feed import Exchange, Feed, Line
from feeds.models.feed_event import FeedEvent
from feeds.models.instrument import BoardFacts, Instrument
from feeds.models.trading_calendar import SpecialDay, TradingSession
from feeds.models.worker_heartbeat import WorkerHeartbeat

__all__ = [
    "BoardFacts",
    "Exchange",
    "Feed",
    "FeedEvent",
    "Instrument",
    "Line",
    "SpecialDay",
    "TradingSession",
    "WorkerHeartbeat",
]
