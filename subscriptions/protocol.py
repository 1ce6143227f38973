"""The inbound half of `mdds.v1`: one text frame in, one checked operation out, or a typed error.

Nothing a client asks for is silently altered: an unknown member, a wrong type or a list over its cap is refused with
the member's name, what was found and what was expected. The outbound half is `gateway/replies.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

SUBPROTOCOL_JSON = "mdds.v1.json"
SUBPROTOCOLS = (SUBPROTOCOL_JSON,)  # in the server's order of preference

MESSAGE_BYTES_MAX = 16_384  # past it: TOO_LARGE and close 1009
DEPTH_MAX = 4  # past it: BAD_JSON; the deepest operation (`resume`) needs three
SYMBOLS_MAX = 1_024  # in one operation; past it: BAD_PARAM
SYMBOL_CHARACTERS_MAX = 64
SECRET_CHARACTERS_MAX = 4_096  # a JWT fits
DEPTHS = (1, 3, 5, 10)
CONFLATE_MS = (0, 50, 100, 250, 1000)
ON_SLOW = ("conflate", "skip", "disconnect")
TIMELINESS = ("realtime", "delayed")
LIVE = "live"

CHANNELS_OF_IMAGES = frozenset({"stats", "depth", "expected", "foreign", "index", "definition"})
CHANNELS_OF_EVENTS = frozenset({"trade", "status"})
CHANNELS = CHANNELS_OF_IMAGES | CHANNELS_OF_EVENTS
# In the protocol, not yet produced by any worker: a clear refusal instead of a subscription that waits for ever.
CHANNELS_UNSERVED = frozenset({"quote", "book", "bar", "raw", "account"})
OPERATIONS_UNSERVED = frozenset({"set", "replay", "ctl"})

OperationId = int | str | None
_SYMBOL = re.compile(r"[^\x00-\x20\"\\\x7f-\x9f]{1,64}", re.ASCII)
_ORIGIN = re.compile(r"live|replay:[0-9]{1,18}")


class ProtocolError(Exception):
    """The peer's mistake: `code` of the protocol, the operation's `id`, a text that says found and expected."""

    def __init__(self, code: str, message: str, *, id: OperationId = None, fatal: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.id, self.fatal = code, message, id, fatal
        self.retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Authenticate:
    id: OperationId
    secret: str


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


Operation = Authenticate | Subscribe | Unsubscribe | Ping | ListSubscriptions


def parse(text: str | bytes) -> Operation:
    """The operation in one inbound frame; raises ProtocolError."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MESSAGE_BYTES_MAX:
        raise ProtocolError("TOO_LARGE", f"a message holds at most {MESSAGE_BYTES_MAX} bytes, got {size}", fatal=True)
    message = _object(text)
    id_ = _id(message)
    fields = _Fields(message, id_)
    name = fields.text("op", None, 32)
    reader = _READERS.get(name)
    if reader is None:
        known = ", ".join(sorted(_READERS))
        why = "is not served by this server yet" if name in OPERATIONS_UNSERVED else "is unknown"
        raise ProtocolError("UNKNOWN_OP", f"op {name!r} {why}; served: {known}", id=id_)
    operation = reader(fields)
    fields.end()
    return operation


def _object(text: str | bytes) -> dict[str, object]:
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        _check_depth(decoded)
        message = json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("BAD_JSON", f"not a JSON object: {error}"[:200]) from None
    if not isinstance(message, dict):
        raise ProtocolError("BAD_JSON", f"expected a JSON object, got {_kind(message)}")
    return message


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the decoder sees it; brackets inside strings do not count."""
    depth = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        if bracket in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ValueError(f"nested deeper than {DEPTH_MAX}")
        elif bracket in "]}":
            depth -= 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _id(message: Mapping[str, object]) -> OperationId:
    value = message.get("id")
    if value is None or (isinstance(value, str) and len(value) <= 64):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise ProtocolError("BAD_PARAM", f"id: expected an integer or a text of at most 64 characters, got {_kind(value)}")


class _Fields:
    """The members of one operation, taken one by one; what is left at the end is an error."""

    def __init__(self, message: dict[str, object], id_: OperationId) -> None:
        self.id = id_
        self._rest = {name: value for name, value in message.items() if name != "id"}

    def fail(self, name: str, expected: str, found: object) -> NoReturn:
        raise ProtocolError("BAD_PARAM", f"{name}: expected {expected}, got {_shown(found)}", id=self.id)

    def take(self, name: str) -> object:
        return self._rest.pop(name, None)

    def text(self, name: str, default: str | None, characters_max: int) -> str:
        value = self.take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not 1 <= len(value) <= characters_max:
            self.fail(name, f"a text of 1 to {characters_max} characters", value)
        return value

    def integer(self, name: str, default: int | None) -> int:
        value = self.take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            self.fail(name, "an integer of at least 0", value)
        return value

    def boolean(self, name: str, default: bool) -> bool:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(name, "true or false", value)
        return value

    def end(self) -> None:
        if self._rest:
            names = ", ".join(sorted(self._rest))[:100]
            raise ProtocolError("BAD_PARAM", f"unknown member: {names}", id=self.id)


def _channel(fields: _Fields, name: str) -> str:
    if name in CHANNELS:
        return name
    why = "is not served by this server yet" if name in CHANNELS_UNSERVED else "is unknown"
    served = ", ".join(sorted(CHANNELS))
    raise ProtocolError("BAD_PARAM", f"ch: {name!r} {why}; served: {served}", id=fields.id)


def _symbols(fields: _Fields) -> tuple[str, ...]:
    found = fields.take("symbols")
    if not isinstance(found, list) or not 1 <= len(found) <= SYMBOLS_MAX:
        fields.fail("symbols", f"a list of 1 to {SYMBOLS_MAX} symbols", found)
    for symbol in found:
        if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
            fields.fail("symbols", f"texts of 1 to {SYMBOL_CHARACTERS_MAX} characters without spaces or quotes", symbol)
    if "*" in found and len(found) > 1:
        fields.fail("symbols", '["*"] alone or names only', found)
    return tuple(dict.fromkeys(found))


def _resume(fields: _Fields, symbols: tuple[str, ...]) -> tuple[tuple[str, str, int], ...]:
    found = fields.take("resume")
    if found is None:
        return ()
    if not isinstance(found, dict):
        fields.fail("resume", 'an object {"SYMBOL": ["epoch", n]}', found)
    points = []
    for symbol, point in found.items():
        if symbol not in symbols:
            fields.fail("resume", "symbols of this sub", symbol)
        match point:
            case [str(epoch), int(number)] if len(epoch) <= 64 and not isinstance(number, bool) and number >= 0:
                points.append((symbol, epoch, number))
            case _:
                fields.fail(f"resume.{symbol}", '["epoch", n]', point)
    return tuple(points)


def _authenticate(fields: _Fields) -> Authenticate:
    key, token = fields.take("key"), fields.take("token")
    secret = key if token is None else token
    if (key is not None and token is not None) or not isinstance(secret, str) or not secret:
        raise ProtocolError("BAD_PARAM", "auth: expected exactly one of key and token, a text", id=fields.id)
    if len(secret) > SECRET_CHARACTERS_MAX:
        raise ProtocolError("BAD_PARAM", f"auth: at most {SECRET_CHARACTERS_MAX} characters", id=fields.id)
    return Authenticate(fields.id, secret)


def _subscribe(fields: _Fields) -> Subscribe:
    channel = _channel(fields, fields.text("ch", None, 32))
    symbols = _symbols(fields)
    depth = fields.take("depth")
    if depth is not None:
        if channel != "depth":
            fields.fail("depth", "no depth on this channel", depth)
        if isinstance(depth, bool) or depth not in DEPTHS:
            fields.fail("depth", f"one of {DEPTHS}", depth)
    conflate_ms = fields.integer("conflate_ms", 0)
    if conflate_ms not in CONFLATE_MS:
        fields.fail("conflate_ms", f"one of {CONFLATE_MS}", conflate_ms)
    on_slow = fields.take("on_slow")
    if on_slow is not None and on_slow not in ON_SLOW:
        fields.fail("on_slow", f"one of {ON_SLOW}", on_slow)
    origin = fields.text("origin", LIVE, 32)
    if not _ORIGIN.fullmatch(origin):
        fields.fail("origin", "live or replay:<number>", origin)
    timeliness = fields.take("timeliness")
    if timeliness is not None and timeliness not in TIMELINESS:
        fields.fail("timeliness", f"one of {TIMELINESS}", timeliness)
    return Subscribe(
        id=fields.id,
        channel=channel,
        symbols=symbols,
        depth=depth if isinstance(depth, int) else None,
        snapshot=fields.boolean("snapshot", True),
        conflate_ms=conflate_ms,
        on_slow=on_slow if isinstance(on_slow, str) else None,
        origin=origin,
        timeliness=timeliness if isinstance(timeliness, str) else None,
        resume=_resume(fields, symbols),
    )


def _unsubscribe(fields: _Fields) -> Unsubscribe:
    return Unsubscribe(fields.id, fields.integer("sid", None))


def _ping(fields: _Fields) -> Ping:
    return Ping(fields.id)


def _list(fields: _Fields) -> ListSubscriptions:
    name = fields.take("ch")
    if name is None:
        return ListSubscriptions(fields.id)
    if not isinstance(name, str):
        fields.fail("ch", "a channel", name)
    return ListSubscriptions(fields.id, _channel(fields, name))


_READERS: dict[str, Callable[[_Fields], Operation]] = {
    "auth": _authenticate,
    "sub": _subscribe,
    "unsub": _unsubscribe,
    "ping": _ping,
    "list": _list,
}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """A found value for an error text: scalars as they are, cut; containers by their kind and length."""
    if isinstance(value, list | dict):
        return f"{_kind(value)} of {len(value)}"
    return repr(value)[:80]
