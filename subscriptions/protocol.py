"""The inbound half of `mdds.v1`: one text frame in, one checked operation out, or a typed error.

Nothing a client asks for is silently altered: an unknown member, a wrong type or a list over its cap is refused with
the member's name, what was found and what was expected. The outbound half is `gateway/replies.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from subscriptions.inbound import (
    MESSAGE_BYTES_MAX,
    Fields,
    OperationId,
    ProtocolError,
    id_of,
    json_message,
    packed_message,
)
from subscriptions.replay_operations import ControlReplay, StartReplay, read_control, read_replay

__all__ = ["MESSAGE_BYTES_MAX", "OperationId", "ProtocolError"]  # of `inbound`, for those who know only the protocol

SUBPROTOCOL_JSON = "mdds.v1.json"
SUBPROTOCOL_MSGPACK = "mdds.v1.msgpack"
SUBPROTOCOLS = (SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK)  # in the server's order of preference

SYMBOLS_MAX = 1_024  # in one operation; past it: BAD_PARAM
SYMBOL_CHARACTERS_MAX = 64
SECRET_CHARACTERS_MAX = 4_096  # a JWT fits
BOARDS_MAX = 16  # in one filter; past it: BAD_PARAM
DEPTHS = (1, 3, 5, 10)
DEPTH_FULL = "full"  # every level there is; what is given when no depth is asked for
CONFLATE_MS = (0, 50, 100, 250, 1000)
ON_SLOW = ("conflate", "skip", "disconnect")
FIELDS = ("full", "lean")
TIMELINESS = ("realtime", "delayed")
LIVE = "live"

CHANNELS_OF_IMAGES = frozenset({"stats", "depth", "quote", "expected", "foreign", "index", "definition"})
CHANNELS_OF_EVENTS = frozenset({"trade", "status", "raw", "account"})
CHANNELS_OF_BOTH = frozenset({"book", "bar"})  # a snapshot then deltas; an image while open then an event
CHANNELS = CHANNELS_OF_IMAGES | CHANNELS_OF_EVENTS | CHANNELS_OF_BOTH
CHANNELS_CONFLATED = CHANNELS_OF_IMAGES | CHANNELS_OF_BOTH  # the others answer `conflate_ms` with 0
CHANNELS_OF_DEPTH = frozenset({"depth", "book"})

_SYMBOL = re.compile(r"[^\x00-\x20\"\\\x7f-\x9f]{1,64}", re.ASCII)
_BOARD = re.compile(r"[A-Z0-9]{1,4}")
_ORIGIN = re.compile(r"live|replay:[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Authenticate:
    id: OperationId
    secret: str
    takeover: bool = False  # over the session limit: end the oldest session instead of being refused


@dataclass(frozen=True, slots=True)
class Subscribe:
    id: OperationId
    channel: str
    symbols: tuple[str, ...]
    depth: int | None = None
    snapshot: bool = True
    conflate_ms: int = 0
    on_slow: str | None = None
    origin: str = LIVE
    timeliness: str | None = None  # None: the best that there is a right to
    resume: tuple[tuple[str, str, int], ...] = ()
    boards: tuple[str, ...] = ()  # empty: all
    fields: str | None = None
    exact: bool = False  # the depth asked for or nothing: LEVEL_NOT_ENTITLED instead of fewer levels


@dataclass(frozen=True, slots=True)
class SetSubscription:
    """None: as it is."""

    id: OperationId
    sid: int
    conflate_ms: int | None = None
    depth: int | None = None
    on_slow: str | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    id: OperationId
    sid: int


@dataclass(frozen=True, slots=True)
class Ping:
    id: OperationId


@dataclass(frozen=True, slots=True)
class ListSubscriptions:
    id: OperationId
    channel: str | None = None


Operation = (
    Authenticate | Subscribe | SetSubscription | Unsubscribe | Ping | ListSubscriptions | StartReplay | ControlReplay
)


def parse(text: str | bytes) -> Operation:
    """The operation in one inbound text frame; raises ProtocolError."""
    return _operation(json_message(text))


def parse_packed(data: bytes) -> Operation:
    """The operation in one inbound binary frame of `mdds.v1.msgpack`; raises ProtocolError."""
    return _operation(packed_message(data))


def _operation(message: dict[str, object]) -> Operation:
    id_ = id_of(message)
    fields = Fields(message, id_)
    name = fields.text("op", None, 32)
    reader = _READERS.get(name)
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise ProtocolError("UNKNOWN_OP", f"op {name!r} is unknown; served: {known}", id=id_)
    operation = reader(fields)
    fields.end()
    return operation


def _channel(fields: Fields, name: str) -> str:
    if name in CHANNELS:
        return name
    served = ", ".join(sorted(CHANNELS))
    raise ProtocolError("BAD_PARAM", f"ch: {name!r} is unknown; served: {served}", id=fields.id)


def _symbols(fields: Fields) -> tuple[str, ...]:
    found = fields.take("symbols")
    if not isinstance(found, list) or not 1 <= len(found) <= SYMBOLS_MAX:
        fields.fail("symbols", f"a list of 1 to {SYMBOLS_MAX} symbols", found)
    for symbol in found:
        if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
            fields.fail("symbols", f"texts of 1 to {SYMBOL_CHARACTERS_MAX} characters without spaces or quotes", symbol)
        if "*" in symbol[:-1]:
            fields.fail("symbols", "an asterisk only at the end of a prefix", symbol)
    if "*" in found and len(found) > 1:
        fields.fail("symbols", '["*"] alone or names only', found)
    symbols = tuple(dict.fromkeys(found))
    prefixes = tuple(symbol[:-1] for symbol in symbols if symbol.endswith("*"))
    for symbol in symbols:
        bare = symbol.removesuffix("*")
        if any(bare.startswith(one) for one in prefixes if one != bare or not symbol.endswith("*")):
            fields.fail("symbols", "each symbol once: a prefix of this list covers it already", symbol)
    return symbols


def _resume(fields: Fields, symbols: tuple[str, ...]) -> tuple[tuple[str, str, int], ...]:
    found = fields.take("resume")
    if found is None:
        return ()
    if not isinstance(found, dict):
        fields.fail("resume", 'an object {"SYMBOL": ["epoch", n]}', found)
    points = []
    for symbol, point in found.items():
        covered = any(one.endswith("*") and symbol.startswith(one[:-1]) for one in symbols)
        if not (symbol in symbols or covered) or not _SYMBOL.fullmatch(symbol) or symbol.endswith("*"):
            fields.fail("resume", "symbols of this sub", symbol)
        match point:
            case [str(epoch), int(number)] if len(epoch) <= 64 and not isinstance(number, bool) and number >= 0:
                points.append((symbol, epoch, number))
            case _:
                fields.fail(f"resume.{symbol}", '["epoch", n]', point)
    return tuple(points)


def _authenticate(fields: Fields) -> Authenticate:
    key, token = fields.take("key"), fields.take("token")
    secret = key if token is None else token
    if (key is not None and token is not None) or not isinstance(secret, str) or not secret:
        raise ProtocolError("BAD_PARAM", "auth: expected exactly one of key and token, a text", id=fields.id)
    if len(secret) > SECRET_CHARACTERS_MAX:
        raise ProtocolError("BAD_PARAM", f"auth: at most {SECRET_CHARACTERS_MAX} characters", id=fields.id)
    return Authenticate(fields.id, secret, fields.boolean("takeover", False))


def _subscribe(fields: Fields) -> Subscribe:
    channel = _channel(fields, fields.text("ch", None, 32))
    symbols = _symbols(fields)
    depth = _depth(fields)
    if depth is not None and channel not in CHANNELS_OF_DEPTH:
        fields.fail("depth", "no depth on this channel", depth)
    exact = fields.boolean("exact", False)
    if exact and depth is None:
        fields.fail("exact", "only with a depth", exact)
    origin = fields.text("origin", LIVE, 32)
    if not _ORIGIN.fullmatch(origin):
        fields.fail("origin", "live or replay:<number>", origin)
    return Subscribe(
        id=fields.id,
        channel=channel,
        symbols=symbols,
        depth=depth,
        snapshot=fields.boolean("snapshot", True),
        conflate_ms=_conflate_ms(fields) or 0,
        on_slow=_choice(fields, "on_slow", ON_SLOW),
        origin=origin,
        timeliness=_choice(fields, "timeliness", TIMELINESS),
        resume=_resume(fields, symbols),
        boards=_boards(fields),
        fields=_choice(fields, "fields", FIELDS),
        exact=exact,
    )


def _set(fields: Fields) -> SetSubscription:
    sid = fields.integer("sid", None)
    on_slow = _choice(fields, "on_slow", ON_SLOW)
    return SetSubscription(fields.id, sid, _conflate_ms(fields), _depth(fields), on_slow)


def _depth(fields: Fields) -> int | None:
    """0 is every level there is."""
    depth = fields.take("depth")
    if depth is None:
        return None
    if depth == DEPTH_FULL:
        return 0
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in DEPTHS:
        fields.fail("depth", f"one of {DEPTHS} or {DEPTH_FULL!r}", depth)
    return depth


def _conflate_ms(fields: Fields) -> int | None:
    value = fields.take("conflate_ms")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in CONFLATE_MS:
        fields.fail("conflate_ms", f"one of {CONFLATE_MS}", value)
    return value


def _choice(fields: Fields, name: str, choices: tuple[str, ...]) -> str | None:
    value = fields.take(name)
    if value is not None and value not in choices:
        fields.fail(name, f"one of {choices}", value)
    return value if isinstance(value, str) else None


def _boards(fields: Fields) -> tuple[str, ...]:
    found = fields.take("boards")
    if found is None:
        return ()
    if not isinstance(found, list) or not 1 <= len(found) <= BOARDS_MAX:
        fields.fail("boards", f"a list of 1 to {BOARDS_MAX} boards", found)
    for board in found:
        if not isinstance(board, str) or not _BOARD.fullmatch(board):
            fields.fail("boards", "board codes like G1", board)
    return tuple(sorted(set(found)))


def _replay(fields: Fields) -> StartReplay:
    channel = _channel(fields, fields.text("ch", None, 32))
    symbols, depth = _symbols(fields), _depth(fields)
    if depth is not None and channel not in CHANNELS_OF_DEPTH:
        fields.fail("depth", "no depth on this channel", depth)
    return read_replay(fields, channel=channel, symbols=symbols, depth=depth)


def _unsubscribe(fields: Fields) -> Unsubscribe:
    return Unsubscribe(fields.id, fields.integer("sid", None))


def _ping(fields: Fields) -> Ping:
    return Ping(fields.id)


def _list(fields: Fields) -> ListSubscriptions:
    name = fields.take("ch")
    if name is None:
        return ListSubscriptions(fields.id)
    if not isinstance(name, str):
        fields.fail("ch", "a channel", name)
    return ListSubscriptions(fields.id, _channel(fields, name))


_READERS: dict[str, Callable[[Fields], Operation]] = {
    "auth": _authenticate,
    "sub": _subscribe,
    "set": _set,
    "unsub": _unsubscribe,
    "ping": _ping,
    "list": _list,
    "replay": _replay,
    "ctl": read_control,
}
