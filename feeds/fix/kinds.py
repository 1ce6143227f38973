"""What a field's value may look like: the check, the JSON it becomes, and the pattern a compiled layout uses.

A kind has two readings that must agree: `normalise` (the general path: any accepted spelling to JSON text) and
`pattern` with `template` (a layout: only the plain spelling, passed on as it is). `nulls` are the sentinels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

INTEGER_DIGITS_MAX = 18
FRACTION_DIGITS_MAX = 9
SHOWN_MAX = 40


class ValueRejected(ValueError):
    """A value that its kind does not allow; `reason` is a stable code."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to read a value. `pattern` has as many groups as `template` has `%s`.

    The first `shape_length` characters of a value belong to a message's shape: a layout takes them literally (the
    date of SendingTime, which changes once a day).
    """

    name: str
    pattern: str
    template: str
    normalise: Callable[[str], str]
    nulls: frozenset[str] = frozenset()
    shape_length: int = 0

    def in_layout(self, value: str) -> tuple[str, str]:
        """Pattern and template of this kind in the layout of a message that has `value`."""
        if not self.shape_length:
            return self.pattern, self.template
        start = value[: self.shape_length]
        literal = self.normalise(value).split("T", 1)[0]
        return self.pattern.replace(r"\d{8}", start), f"{literal}T{self.template[1:]}"

    def render(self, value: str) -> str:
        """JSON text of `value`; an empty value or a sentinel is `null`. Raises ValueRejected."""
        if not value or value in self.nulls:
            return "null"
        text = self.normalise(value)
        return "null" if text in self.nulls else text


def shown(value: str) -> str:
    """A value for an error text: quoted, shortened."""
    return repr(value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}… ({len(value)} characters)")


_NUMBER = re.compile(r"([+-]?)0*+(\d*)(\.?)(\d*)", re.ASCII)
# What a layout takes: no sign, no leading zero. A negative look-ahead costs a third of an alternation here.
_PLAIN_INTEGER = r"(?!0\d)\d{1,18}+"
_PLAIN_NUMBER = rf"{_PLAIN_INTEGER}(?:\.\d{{1,9}}+)?+"


def number(value: str) -> str:
    """JSON text of a decimal number. `+`, leading zeros and a bare point are put right; the digits are not touched."""
    match = _NUMBER.fullmatch(value)
    if match is None or len(value) > SHOWN_MAX or not any(c.isdigit() for c in value):
        raise ValueRejected("BAD_NUMBER", f"found {shown(value)}, expected a decimal number")
    sign, whole, _point, fraction = match.groups()
    if len(whole) > INTEGER_DIGITS_MAX or len(fraction) > FRACTION_DIGITS_MAX:
        raise ValueRejected("BAD_NUMBER", f"found {shown(value)}, expected at most 18 digits and 9 decimals")
    text = (whole or "0") + (f".{fraction}" if fraction else "")
    return f"-{text}" if sign == "-" else text


def integer(value: str) -> str:
    """JSON text of a whole number."""
    if "." in value:
        raise ValueRejected("BAD_NUMBER", f"found {shown(value)}, expected a whole number")
    return number(value)


def text(value: str) -> str:
    """JSON text of a string, quotes, backslashes and control characters escaped."""
    return json.dumps(value, ensure_ascii=False)


_DATE = r"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)"
_SENT = r"\d{8} ((?!2[4-9])[0-2]\d:[0-5]\d:[0-5]\d\.\d{3})"  # a leap second goes the general path
_SENT_LOOSE = re.compile(rf"{_DATE}[ -]({_TIME}(?:\.\d{{3}})?)", re.ASCII)


def sending_time(value: str) -> str:
    """`20190517 10:35:53.796` (52, with the feed's space or the standard's dash) as ISO, UTC."""
    match = _SENT_LOOSE.fullmatch(value)
    if match is None:
        raise ValueRejected("BAD_TIME", f"found {shown(value)}, expected 'YYYYMMDD HH:MM:SS.mmm'")
    year, month, day, time = match.groups()
    return f'"{year}-{month}-{day}T{time if "." in time else time + ".000"}Z"'


_TRANSACT = r"((?!2[4-9])[0-2]\d[0-5]\d[0-5]\d{4})"
_TRANSACT_RE = re.compile(r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d|60)\d{3}", re.ASCII)


def transact_time(value: str) -> str:
    """`103553788` (60, HHmmssSSS) as it is."""
    match = _TRANSACT_RE.fullmatch(value)
    if match is None:
        raise ValueRejected("BAD_TIME", f"found {shown(value)}, expected HHmmssSSS")
    return f'"{value}"'


_DATE_RE = re.compile(_DATE, re.ASCII)


def date(value: str) -> str:
    """`20190221` as `"2019-02-21"`."""
    match = _DATE_RE.fullmatch(value)
    if match is None:
        raise ValueRejected("BAD_DATE", f"found {shown(value)}, expected YYYYMMDD")
    return '"{}-{}-{}"'.format(*match.groups())


def sequence(value: str) -> str:
    """JSON text of MsgSeqNum: at most 18 digits as framing.HEAD takes them (so it fits 63 bits), no sign."""
    if not re.fullmatch(r"\d{1,18}", value, re.ASCII):
        raise ValueRejected("BAD_SEQUENCE", f"found {shown(value)}, expected 1 to 18 digits")
    return str(int(value))


_MARKET_RE = re.compile(r"[A-Z]{3}", re.ASCII)


def market(value: str) -> str:
    if not _MARKET_RE.fullmatch(value):
        raise ValueRejected("BAD_VALUE", f"found {shown(value)}, expected a MarketID of three letters")
    return value


_NO_LIMIT = frozenset({"999999999.0", "-999999999.0", "0.0", "0"})
_NO_YIELD = frozenset({"-09999.999900", "-9999.999900", "-9999.9999", "-09999.9999"})
_PLAIN_TEXT = r'[^\x00-\x1f"\\]++'

INT = Kind("int", f"({_PLAIN_INTEGER})", "%s", integer)
PRICE = Kind("price", f"({_PLAIN_NUMBER})", "%s", number)
LIMIT = Kind("limit price", f"({_PLAIN_NUMBER})", "%s", number, _NO_LIMIT)
YIELD = Kind("yield", f"({_PLAIN_NUMBER})", "%s", number, _NO_YIELD)
TEXT = Kind("text", f"({_PLAIN_TEXT})", '"%s"', text)
SENT = Kind("SendingTime", _SENT, '"%sZ"', sending_time, shape_length=8)
TRANSACT = Kind("TransactTime", _TRANSACT, '"%s"', transact_time)
DATE = Kind("date", _DATE, '"%s-%s-%s"', date)
SEQUENCE = Kind("sequence", f"({_PLAIN_INTEGER})", "%s", sequence)
MARKET = Kind("market", r"([A-Z]{3})", "%s", market)
