"""The upstream rows: exchanges, feeds with their lines, instruments, and workers' heartbeats."""

from feeds.models.feed import Exchange, Feed, Line
from feeds.models.instrument import BoardFacts, Instrument
from feeds.models.worker_heartbeat import WorkerHeartbeat

__all__ = ["BoardFacts", "Exchange", "Feed", "Instrument", "Line", "WorkerHeartbeat"]
