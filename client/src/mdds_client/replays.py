"""A replay of the past into this connection: its records as an iterator, paused, moved and cancelled at will."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from mdds_client.errors import BadParam
from mdds_client.records import Record
from mdds_client.subscription import BATCH_MAX, Subscription

Control: TypeAlias = Literal["pause", "resume", "seek", "cancel"]
Moment: TypeAlias = datetime | str
SPEED_MAX = 1_000.0  # the server's


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to play, checked. Times are ISO texts in UTC; `then` "live" goes on with the live stream. Without `end` it
    ends now, or as long ago as the rights to the symbols are delayed."""

    channel: str
    symbols: tuple[str, ...]
    start: str
    end: str | None = None
    speed: float = 1.0
    then: str | None = None
    depth: int | str | None = None

    def operation(self) -> dict[str, Any]:
        operation: dict[str, Any] = {"op": "replay", "ch": self.channel, "symbols": list(self.symbols)}
        operation |= {"start": self.start, "speed": _whole(self.speed)}
        rest = {"end": self.end, "then": self.then, "depth": self.depth}
        return operation | {name: value for name, value in rest.items() if value is not None}


class Replay:
    """`async for record in replay`; ends with the replay, or goes on live with `then="live"`."""

    def __init__(
        self,
        stages: list[Subscription],
        *,
        reply: dict[str, Any],
        control: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
    ) -> None:
        self.reply = reply
        self.stages = stages  # the replay; then the live stream
        self._control = control
        self.paused = False

    @property
    def sid(self) -> int:
        return int(self.reply["sid"])

    @property
    def end(self) -> str | None:
        """The end of the range that is played, as the server granted it."""
        end = self.reply.get("end")
        return end if isinstance(end, str) else None

    @property
    def live(self) -> bool:
        """Whether the past is over and the live stream has begun."""
        return len(self.stages) == 1 and self.stages[0].origin is None

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while True:
            try:
                return await anext(self.stages[0])
            except StopAsyncIteration:
                if len(self.stages) == 1:
                    raise
                self.stages.pop(0)

    async def batch(self, records_max: int = BATCH_MAX) -> list[Record]:
        """At least one record, at most `records_max`; empty at the end."""
        while not (taken := await self.stages[0].batch(records_max)) and len(self.stages) > 1:
            self.stages.pop(0)
        return taken

    async def pause(self) -> None:
        await self._do("pause")
        self.paused = True

    async def resume(self) -> None:
        await self._do("resume")
        self.paused = False

    async def seek(self, to: Moment) -> None:
        """Go on from another moment of the replay's range."""
        await self._do("seek", to=moment("to", to))

    async def cancel(self) -> None:
        """End it; the iterator ends after what was received."""
        if not all(stage.closed for stage in self.stages):
            await self._do("cancel")
            for stage in self.stages:
                stage.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()

    async def _do(self, what: Control, **members: Any) -> None:
        await self._control({"op": "ctl", "sid": self.sid, "do": what, **members})


def moment(name: str, value: Moment) -> str:
    """An ISO time in UTC; raises BadParam. A time without a zone is taken as UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise BadParam(f"{name}: expected an ISO time like 2026-11-20T02:15:00Z, got {value!r}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    text = found.astimezone(UTC).isoformat(timespec="milliseconds" if found.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def check_speed(speed: float) -> float:
    if not 0 <= speed <= SPEED_MAX:
        raise BadParam(f"speed: expected 0 (as fast as it goes) to {SPEED_MAX:g}, got {speed}")
    return speed


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number
