"""The operations `replay` and `ctl` of the inbound protocol: a private replay, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from subscriptions.inbound import Fields, OperationId

SPEED_MAX = 1_000.0
CONTROLS = ("pause", "resume", "seek", "cancel")
TIME_CHARACTERS_MAX = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StartReplay:
    """`end_ns` None: until now. `then_live`: go on with the live stream, without a hole."""

    id: OperationId
    channel: str
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int | None
    speed: float
    then_live: bool
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class ControlReplay:
    id: OperationId
    sid: int
    do: str
    to_ns: int | None = None


def read_replay(fields: Fields, *, channel: str, symbols: tuple[str, ...], depth: int | None) -> StartReplay:
    """The rest of a `replay`, whose channel, symbols and depth are read as those of a `sub`."""
    start_ns, end_ns = _moment(fields, "start"), _moment(fields, "end")
    if start_ns is None:
        fields.fail("start", "an ISO time like 2026-11-20T02:15:00Z", None)
    if end_ns is not None and end_ns <= start_ns:
        fields.fail("end", "a time after start", end_ns)
    speed = fields.take("speed")
    speed = 1.0 if speed is None else speed
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed <= SPEED_MAX:
        fields.fail("speed", f"0 (as fast as it goes) to {SPEED_MAX:g}", speed)
    then = fields.take("then")
    if then not in (None, "live"):
        fields.fail("then", "'live' or nothing", then)
    if then and any(symbol.endswith("*") for symbol in symbols):
        fields.fail("then", "names, not patterns, to go on live", "live")
    return StartReplay(fields.id, channel, symbols, start_ns, end_ns, float(speed), then == "live", depth)


def read_control(fields: Fields) -> ControlReplay:
    sid, do, to_ns = fields.integer("sid", None), fields.take("do"), _moment(fields, "to")
    if do not in CONTROLS:
        fields.fail("do", f"one of {CONTROLS}", do)
    if (to_ns is not None) != (do == "seek"):
        fields.fail("to", "a time, with seek only", to_ns)
    return ControlReplay(fields.id, sid, str(do), to_ns)


def _moment(fields: Fields, name: str) -> int | None:
    """Nanoseconds since 1970 of an ISO time; one without a zone is UTC."""
    value = fields.take(name)
    if value is None:
        return None
    try:
        if not isinstance(value, str) or len(value) > TIME_CHARACTERS_MAX:
            raise ValueError
        at = datetime.fromisoformat(value)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - _EPOCH) // timedelta(microseconds=1) * 1_000
    except (ValueError, OverflowError):
        fields.fail(name, "an ISO time like 2026-11-20T02:15:00Z", value)
