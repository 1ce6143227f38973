"""What a program asks for in `subscribe`, checked, and the operations of the protocol that it becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict

from mdds_client.errors import BadParam
from mdds_client.routes import matches

OPERATION_BYTES_MAX = 15_000  # the server takes 16,384
OPERATION_SYMBOLS_MAX = 1_024
QUEUE_MAX = 10_000

# `wait` and `drop` are this client's own answer to a full queue; the others are asked of the server.
OnSlow: TypeAlias = Literal["wait", "drop", "conflate", "skip", "disconnect"]
_ON_SLOW = ("wait", "drop", "conflate", "skip", "disconnect")


class SubscribeOptions(TypedDict, total=False):
    """The options of `subscribe`; what is left out is the server's default."""

    depth: int | Literal["full"] | None
    exact_depth: bool
    boards: Iterable[str] | None
    fields: Literal["full", "lean"] | None
    timeliness: Literal["realtime", "delayed"] | None
    snapshot: bool
    origin: str | None
    conflate_ms: int | None
    on_slow: OnSlow
    queue_max: int


class ReplayOptions(TypedDict, total=False):
    """The options of `replay`."""

    speed: float
    then: Literal["live"] | None
    depth: int | Literal["full"] | None


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """A checked request. `origin` is None for live, else `replay:<job>`."""

    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    depth: int | str | None = None
    boards: tuple[str, ...] = ()
    fields: str | None = None
    timeliness: str | None = None
    snapshot: bool = True
    origin: str | None = None
    conflate_ms: int | None = None
    on_slow: OnSlow = "wait"
    queue_max: int = QUEUE_MAX
    exact_depth: bool = False

    def __post_init__(self) -> None:
        for name, values in (("channel", self.channels), ("symbols", self.symbols)):
            if not values or not all(isinstance(value, str) and value for value in values):
                raise BadParam(f"{name}: expected one or more names, got {list(values)!r}")
        if "*" in self.symbols and len(self.symbols) > 1:
            raise BadParam('symbols: expected "*" alone or names only')
        if self.on_slow not in _ON_SLOW:
            raise BadParam(f"on_slow: expected one of {', '.join(_ON_SLOW)}, got {self.on_slow!r}")
        if self.exact_depth and self.depth is None:
            raise BadParam("exact_depth: only with a depth")
        if self.queue_max < 1:
            raise BadParam(f"queue_max: expected at least 1, got {self.queue_max}")

    def operations(self, channel: str, symbols: Iterable[str]) -> Iterator[dict[str, Any]]:
        """One `sub`, or more where the symbols do not fit into one message."""
        for packed in _packed(symbols):
            yield self.operation(channel, packed)

    def operation(self, channel: str, symbols: list[str]) -> dict[str, Any]:
        operation: dict[str, Any] = {"op": "sub", "ch": channel, "symbols": symbols, "snapshot": self.snapshot}
        if self.depth is not None and channel in ("depth", "book"):
            operation["depth"] = self.depth
            if self.exact_depth:
                operation["exact"] = True
        if self.boards:
            operation["boards"] = list(self.boards)
        for name in ("fields", "timeliness"):
            if (value := getattr(self, name)) is not None:
                operation[name] = value
        if self.conflate_ms is not None:
            operation["conflate_ms"] = self.conflate_ms
        if self.origin is not None:
            operation["origin"] = self.origin
        if self.on_slow not in ("wait", "drop"):
            operation["on_slow"] = self.on_slow
        return operation


def subscribe_request(
    channel: str | Iterable[str], symbols: str | Iterable[str], *, options: SubscribeOptions
) -> SubscribeRequest:
    """The request that `subscribe(channel, symbols, **options)` means; raises BadParam."""
    channels = (channel,) if isinstance(channel, str) else tuple(dict.fromkeys(channel))
    names = (symbols,) if isinstance(symbols, str) else tuple(dict.fromkeys(symbols))
    checked = dict(options)
    if checked.get("origin") == "live":
        checked["origin"] = None
    boards = checked.get("boards")
    checked["boards"] = () if boards is None else (boards,) if isinstance(boards, str) else tuple(boards)  # type: ignore[arg-type]
    try:
        return SubscribeRequest(channels, names, **checked)  # type: ignore[arg-type]
    except TypeError as error:
        raise BadParam(str(error).removeprefix("SubscribeRequest.__init__() ")) from None


def with_resume(operation: dict[str, Any], points: dict[tuple[str, str], tuple[str, int]]) -> dict[str, Any]:
    """The operation with a `resume` for the streams it names or covers, as far as they fit into one message; the rest
    begins with its last images."""
    resume: dict[str, list[Any]] = {}
    left = OPERATION_BYTES_MAX - len(json.dumps(operation)) - 20
    for (channel, symbol), point in points.items():
        if channel == operation["ch"] and any(matches(pattern, symbol) for pattern in operation["symbols"]):
            left -= len(json.dumps([symbol, *point])) + 4
            if left < 0:
                break
            resume[symbol] = list(point)
    return {**operation, "resume": resume} if resume else operation


def _packed(symbols: Iterable[str]) -> Iterator[list[str]]:
    packed: list[str] = []
    size = 0
    for symbol in symbols:
        length = len(json.dumps(symbol)) + 2
        if packed and (size + length > OPERATION_BYTES_MAX - 500 or len(packed) >= OPERATION_SYMBOLS_MAX):
            yield packed
            packed, size = [], 0
        packed.append(symbol)
        size += length
    if packed:
        yield packed
