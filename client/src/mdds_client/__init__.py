"""Python SDK for MDDS market data streams: `AsyncClient`, `Client`, typed records and the errors of the protocol."""

from __future__ import annotations

from mdds_client.book import Book
from mdds_client.client import AsyncClient
from mdds_client.closings import Closing
from mdds_client.continuity import Gap
from mdds_client.errors import (
    AuthError,
    AuthFailed,
    AuthRequired,
    BadJson,
    BadParam,
    Banned,
    ClientClosed,
    ConnectionFailed,
    ContractEnded,
    DataError,
    DelayedOnly,
    EntitlementError,
    FeedDown,
    Internal,
    IpNotAllowed,
    KeyExpired,
    KeyRevoked,
    LevelNotEntitled,
    LimitError,
    MddsError,
    NotEntitled,
    NotSubscribed,
    Overloaded,
    RateLimit,
    ReplayAgedOut,
    RequestError,
    RequestTimeout,
    ResumeAgedOut,
    ResumeEpoch,
    ServerError,
    SessionLimit,
    Shutdown,
    SymbolLimit,
    SymbolUnknown,
    TakenOver,
    TooLarge,
    UnknownOp,
)
from mdds_client.link import State, StateChange
from mdds_client.live_book import LiveBook
from mdds_client.parts import SymbolError
from mdds_client.records import (
    Definition,
    Depth,
    Expected,
    Foreign,
    Index,
    Level,
    Number,
    Record,
    Stats,
    Status,
    Trade,
)
from mdds_client.subscription import Subscription
from mdds_client.sync import Client, SyncBook, SyncSubscription
from mdds_client.version import __version__

__all__ = [
    "AsyncClient", "AuthError", "AuthFailed", "AuthRequired", "BadJson", "BadParam", "Banned", "Book", "Client",
    "ClientClosed", "Closing", "ConnectionFailed", "ContractEnded", "DataError", "Definition", "DelayedOnly", "Depth",
    "EntitlementError", "Expected", "FeedDown", "Foreign", "Gap", "Index", "Internal", "IpNotAllowed", "KeyExpired",
    "KeyRevoked", "Level", "LevelNotEntitled", "LimitError", "LiveBook", "MddsError", "NotEntitled", "NotSubscribed",
    "Number", "Overloaded", "RateLimit", "Record", "ReplayAgedOut", "RequestError", "RequestTimeout", "ResumeAgedOut",
    "ResumeEpoch", "ServerError", "SessionLimit", "Shutdown", "State", "StateChange", "Stats", "Status",
    "Subscription", "SymbolError", "SymbolLimit", "SymbolUnknown", "SyncBook", "SyncSubscription", "TakenOver",
    "TooLarge", "Trade", "UnknownOp", "__version__",
]
