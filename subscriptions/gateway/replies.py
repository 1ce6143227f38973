"""The outbound half of `mdds.v1`: the control frames that the gateway sends, as bytes of one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from subscriptions.protocol import OperationId, ProtocolError

VERSION = "1"
FEATURES = ("resume", "set", "conflate", "prefixes", "boards", "fields")  # what a client need not try to find out


def encode(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def clock_text(at_ns: int) -> str:
    """ISO time in UTC with milliseconds: `2026-11-20T02:15:00.123Z`."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def welcome(
    *, session: str, subscriber: str, limits: Mapping[str, int], heartbeat_s: int, at_ns: int, id: OperationId = None
) -> bytes:
    """First on every connection; once more, with the operation's id, after an `auth` that gave other rights."""
    message: dict[str, object] = {"t": "welcome", "v": VERSION}
    if id is not None:
        message["id"] = id
    message |= {
        "session": session, "subscriber": subscriber, "limits": dict(limits), "hb_s": heartbeat_s,
        "features": list(FEATURES), "time": clock_text(at_ns),
    }  # fmt: skip
    return encode(message)


def subscribed(
    id: OperationId,
    *,
    sid: int | None,
    granted: Mapping[str, object] | None,
    ok: Sequence[str],
    errors: Sequence[Mapping[str, str]],
    state: str = "closed",
) -> bytes:
    """`state`: `waiting` for a first record, or `running`; `closed` when nothing was granted."""
    members = {"sid": sid, "state": state, "granted": granted, "ok": list(ok), "errors": list(errors)}
    return encode({"t": "sub", "id": id, **members})


def changed(id: OperationId, *, sid: int, granted: Mapping[str, object]) -> bytes:
    return encode({"t": "set", "id": id, "sid": sid, "granted": granted})


def state(*, sid: int, state: str) -> bytes:
    """A subscription came into another state by itself."""
    return encode({"t": "state", "sid": sid, "state": state})


def unsubscribed(id: OperationId, *, sid: int) -> bytes:
    return encode({"t": "unsub", "id": id, "sid": sid, "state": "closed"})


def pong(id: OperationId, *, at_ns: int) -> bytes:
    return encode({"t": "pong", "id": id, "time": clock_text(at_ns)})


def listing(id: OperationId, subscriptions: Sequence[Mapping[str, object]]) -> bytes:
    return encode({"t": "list", "id": id, "subscriptions": list(subscriptions)})


def error(error: ProtocolError) -> bytes:
    return encode(
        {
            "t": "error",
            "id": error.id,
            "code": error.code,
            "fatal": error.fatal,
            "retry_after_ms": error.retry_after_ms,
            "msg": error.message,
        }
    )


def notice(code: str, **members: object) -> bytes:
    return encode({"t": "notice", "code": code, **members})


def gap(*, sid: int | None, symbol: str, from_: int, to: int | None, why: str) -> bytes:
    return encode({"t": "gap", "sid": sid, "s": symbol, "from": from_, "to": to, "why": why})


def resumed(*, sid: int | None, symbol: str, from_: int) -> bytes:
    return encode({"t": "resumed", "sid": sid, "s": symbol, "from": from_})


def heartbeat(feeds: Mapping[str, Mapping[str, object]], *, at_ns: int) -> bytes:
    return encode({"t": "hb", "time": clock_text(at_ns), "feeds": feeds})
