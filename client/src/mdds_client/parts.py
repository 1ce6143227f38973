"""A part: one `sub` operation as the server granted it, shared by all subscriptions that it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mdds_client.errors import MddsError, error_of
from mdds_client.routes import matches

if TYPE_CHECKING:
    from mdds_client.subscription import Subscription


@dataclass(frozen=True, slots=True)
class SymbolError:
    """A symbol that the server refused although it took others."""

    channel: str
    symbol: str
    error: MddsError

    def __str__(self) -> str:
        return f"{self.channel} {self.symbol}: {self.error.code}"


@dataclass(slots=True, eq=False)
class Part:
    """The server streams a symbol of a channel once per session, so the subscriptions of a program share its parts.

    `sid` is the connection's subscription id and changes with it; None while nothing is granted.
    """

    operation: dict[str, Any]
    sid: int | None = None
    granted: dict[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    ok: tuple[str, ...] = ()
    errors: tuple[SymbolError, ...] = ()
    users: list[Subscription] = field(default_factory=list)
    replays: str | None = None  # the origin whose end is the end of the users that follow it

    @property
    def channel(self) -> str:
        return str(self.operation["ch"])

    def covers(self, symbol: str) -> bool:
        return symbol in self.ok or any(matches(granted, symbol) for granted in self.ok if granted.endswith("*"))

    def same_stream_as(self, operation: dict[str, Any]) -> bool:
        """Whether the operation asks for the same kind of stream: only its symbols and its snapshot may differ."""
        return _shape(self.operation) == _shape(operation)

    def take_reply(self, reply: dict[str, Any]) -> None:
        granted, sid = reply.get("granted"), reply.get("sid")
        self.sid = sid if isinstance(sid, int) else None
        self.state = str(reply.get("state") or "running")
        self.granted = granted if isinstance(granted, dict) else {}
        self.ok = tuple(str(symbol) for symbol in reply.get("ok") or ())
        self.errors = tuple(
            SymbolError(self.channel, str(item.get("s", "?")), _symbol_error(self.channel, item))
            for item in reply.get("errors") or ()
            if isinstance(item, dict)
        )

    def refused(self, error: MddsError) -> None:
        """The whole operation was refused: so was each of its symbols."""
        self.sid, self.ok, self.granted = None, (), {}
        self.errors = tuple(SymbolError(self.channel, symbol, error) for symbol in self.operation["symbols"])

    def withdrawn(self, symbol: str, error: MddsError) -> None:
        """The server took one symbol back; without any symbol the part is over."""
        self.ok = tuple(granted for granted in self.ok if granted != symbol)
        self.errors = (*self.errors, SymbolError(self.channel, symbol, error))
        if not self.ok:
            self.sid = None


def _shape(operation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in operation.items() if name not in ("symbols", "snapshot")}


def _symbol_error(channel: str, item: dict[str, Any]) -> MddsError:
    code, symbol = str(item.get("code", "INTERNAL")), str(item.get("s", "?"))
    words = str(item.get("msg") or code.lower().replace("_", " "))
    return error_of(code, f"{channel} {symbol}: {words}")
