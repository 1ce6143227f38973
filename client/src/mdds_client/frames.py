"""One text frame in, a control message or typed records out, each record with the exact text it came in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn, TypeAlias

from mdds_client.records import RECORD_OF_CHANNEL, Record


@dataclass(frozen=True, slots=True)
class Control:
    """A JSON object of the server: `members["t"]` says which."""

    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Data:
    """The records of a data frame; `bad` elements of it were not records and are left out."""

    records: list[Record]
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that is neither; `why` says where it broke. It harms nothing else."""

    why: str


Frame: TypeAlias = Control | Data | Unreadable
_BETWEEN = re.compile(r"[ \t\r\n]*(,|\])[ \t\r\n]*")
_SPACE = re.compile(r"[ \t\r\n]*")


class FrameReader:
    """Reads frames; with `exact` a number with a point or an exponent becomes a Decimal of the very same digits."""

    def __init__(self, *, exact: bool) -> None:
        self._decode = json.JSONDecoder(
            parse_float=Decimal if exact else None, parse_constant=_refuse_constant
        ).raw_decode

    def read(self, text: str) -> Frame:
        try:
            if text[:1] == "[":
                return self._data(text)
            members, _ = self._decode(text, _after_space(text, 0))
        except (ValueError, RecursionError) as error:
            return Unreadable(str(error))
        if isinstance(members, dict) and isinstance(members.get("t"), str):
            return Control(members)
        return Unreadable("neither an array of records nor an object with a type `t`")

    def _data(self, text: str) -> Data:
        """Decode element by element, so that each record keeps its own slice of the frame."""
        records: list[Record] = []
        bad = 0
        at = _after_space(text, 1)
        if text[at : at + 1] == "]":
            return Data(records)
        decode = self._decode
        while True:
            data, end = decode(text, at)
            if is_record(data):
                records.append(RECORD_OF_CHANNEL.get(data["ch"], Record)(data, text[at:end]))
            else:
                bad += 1
            between = _BETWEEN.match(text, end)
            if between is None:
                raise ValueError(f"expected , or ] at {end}")
            at = between.end()
            if between[1] == "]":
                return Data(records, bad)


def is_record(data: object) -> bool:
    """Whether an element has what routes and numbers it: `ch`, `s`, `n` and `ep`."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("ch"), str)
        and isinstance(data.get("s"), str)
        and isinstance(data.get("n"), int)
        and isinstance(data.get("ep"), str)
    )


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
