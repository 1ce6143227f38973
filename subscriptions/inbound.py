"""What may be in an inbound message at all: its size, its nesting, its members taken one by one, or a typed error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from subscriptions.gateway.encodings import unpack

MESSAGE_BYTES_MAX = 16_384  # past it: TOO_LARGE and close 1009
DEPTH_MAX = 4  # past it: BAD_JSON; the deepest operation (`resume`) needs three

OperationId = int | str | None


class ProtocolError(Exception):
    """The peer's mistake: `code` of the protocol, the operation's `id`, a text that says found and expected."""

    def __init__(self, code: str, message: str, *, id: OperationId = None, fatal: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.id, self.fatal = code, message, id, fatal
        self.retry_after_ms: int | None = None


def json_message(text: str | bytes) -> dict[str, object]:
    """The object in one text frame; raises ProtocolError."""
    _check_size(len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass")))
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        _check_depth(decoded)
        message = json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("BAD_JSON", f"not a JSON object: {error}"[:200]) from None
    if not isinstance(message, dict):
        raise ProtocolError("BAD_JSON", f"expected a JSON object, got {_kind(message)}")
    return message


def packed_message(data: bytes) -> dict[str, object]:
    """The map in one binary frame; raises ProtocolError."""
    _check_size(len(data))
    try:
        message = unpack(data)
        _check_value(message, 0)
    except ValueError as error:
        raise ProtocolError("BAD_JSON", f"not a msgpack map: {error}"[:200]) from None
    if not isinstance(message, dict):
        raise ProtocolError("BAD_JSON", f"expected a msgpack map, got {_kind(message)}")
    return message


def _check_size(size: int) -> None:
    if size > MESSAGE_BYTES_MAX:
        raise ProtocolError("TOO_LARGE", f"a message holds at most {MESSAGE_BYTES_MAX} bytes, got {size}", fatal=True)


def _check_value(value: object, depth: int) -> None:
    """What a JSON message could not hold either: keys that are no texts, bytes, deep nesting."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is no text")
        items = list(value.values())
    elif isinstance(value, list):
        items = value
    elif value is None or isinstance(value, str | int | float):
        return
    else:
        raise ValueError(f"a {type(value).__name__} has no meaning here")
    if depth >= DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    for item in items:
        _check_value(item, depth + 1)


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


def id_of(message: Mapping[str, object]) -> OperationId:
    value = message.get("id")
    if value is None or (isinstance(value, str) and len(value) <= 64):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise ProtocolError("BAD_PARAM", f"id: expected an integer or a text of at most 64 characters, got {_kind(value)}")


class Fields:
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


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """A found value for an error text: scalars as they are, cut; containers by their kind and length."""
    if isinstance(value, list | dict):
        return f"{_kind(value)} of {len(value)}"
    return repr(value)[:80]
