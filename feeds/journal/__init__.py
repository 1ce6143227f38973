"""The journal: every datagram as it arrived, appended, synced in groups, read by time or followed at the tail."""

from feeds.journal.reader import JournalReader
from feeds.journal.segments import START, Position
from feeds.journal.writer import JournalWriteError, JournalWriter

__all__ = ["START", "JournalReader", "JournalWriteError", "JournalWriter", "Position"]
