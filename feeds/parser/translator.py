"""Turns one message's bytes into its emissions: the layout path first, the general path when no layout matches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from feeds.fix.fields import offset_of, split_fields
from feeds.fix.framing import TRAILER_BYTES, FramingError, check_frame
from feeds.fix.layouts import Layout, compile_layout
from feeds.fix.plan import Emission, Field, MessageRejected, Plan
from feeds.krx.routers import TABLES, UNROUTED, make_plan

GROUP_COUNT = "\x01268="
HEADER_BYTES_MIN = 40  # an X has no 268 before that: the search is the shorter
LAYOUTS_MAX = 24  # per type and entry count; past it the one that matched longest ago is forgotten
SHAPES_MAX = 4_096
EMPTY_LEVEL = "[0.0,0]"
NO_QUANTITY = ",0]"
_OTHER_EMPTY = re.compile(r",\[-?0(?:\.0+)?,0\]|(?<=\[)\[-?0(?:\.0+)?,0\],?")
# Where the MsgType of a framed message of a size begins: the size says how many digits its BodyLength has. Longer
# messages go the general path.
SIZES = 8_192


def _type_offset(size: int) -> int:
    """Behind `8=FIX.4.4|9=<length>|35=` in a message of `size` bytes in all; 0 for a size no message has."""
    for digits in range(1, 5):
        length = size - len("8=FIX.4.4|9=") - digits - 1 - TRAILER_BYTES
        if len(str(length)) == digits and length > 0:
            return len("8=FIX.4.4|9=") + digits + len("|35=")
    return 0


TYPE_OFFSETS = tuple(_type_offset(size) for size in range(SIZES))


class Translation(NamedTuple):
    """What a message says: who it is, and the texts of its emissions (without the stream's head)."""

    msg_type: str
    sequence: int
    market: str
    rule: str
    key: str
    board: str
    ticker: str
    emissions: Sequence[Emission]
    texts: Sequence[str]


class Rejected(ValueError):
    """A dead letter in the making: code, byte offset, text."""

    def __init__(self, reason: str, offset: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.offset = offset
        self.text = text


class Unrouted(ValueError):
    """A message type of the interface that no router takes; it stays in RAW and is counted."""

    def __init__(self, msg_type: str) -> None:
        super().__init__(msg_type)
        self.msg_type = msg_type


def layout_key(text: str, at: int) -> str:
    """Where a message's layouts are kept: by type, X by the first figures of its 268."""
    key = text[at : at + 2]
    if key == "X\x01":
        count = text.find(GROUP_COUNT, at + HEADER_BYTES_MIN)
        key = text[count + 5 : count + 8]
    return key


def strip_empty_levels(text: str) -> str:
    """Leave out the empty levels (270=0.0 271=0, however spelled) of a book image's ladders."""
    if EMPTY_LEVEL in text:  # the spelling of the feed, the quick way
        text = text.replace("," + EMPTY_LEVEL, "")
        text = text.replace("[" + EMPTY_LEVEL + ",", "[").replace("[" + EMPTY_LEVEL + "]", "[]")
    if NO_QUANTITY in text:
        text = _OTHER_EMPTY.sub("", text)
    return text


class Translator:
    """Both parse paths and the layouts learnt so far. One per parser; layouts hold no message state."""

    def __init__(self) -> None:
        self._shapes: set[int] = set()
        self.layouts: dict[str, list[Layout]] = {}  # by `layout_key`
        self.by_layout = 0
        self.by_general = 0

    def find(self, text: str, at: int) -> tuple[Layout, re.Match[str]] | None:
        """The layout of a framed message whose MsgType begins at `at`; None sends it to the general path.

        The one that matches moves a place forward: the pipeline tries the first one itself.
        """
        layouts = self.layouts.get(layout_key(text, at), [])
        end = len(text) - TRAILER_BYTES
        for place, layout in enumerate(layouts):
            match = layout.fullmatch(text, at, end)
            if match is not None:
                layouts.insert(max(place - 1, 0), layouts.pop(place))
                return layout, match
        return None

    def general(self, data: bytes) -> Translation:
        """Parse one message from its bytes; learn its layout. Raises Rejected or Unrouted."""
        self.by_general += 1
        try:
            check_frame(data)
        except FramingError as error:
            raise Rejected(error.reason, error.offset, error.text) from error
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise Rejected("BAD_UTF8", error.start, f"byte {data[error.start]:#04x} is not UTF-8") from error
        try:
            return self._route(text)
        except MessageRejected as error:
            raise Rejected(error.reason, offset_of(data, error.index), error.text) from error

    def _route(self, text: str) -> Translation:
        fields = split_fields(text)
        msg_type = fields[2].value
        if msg_type in UNROUTED:
            raise Unrouted(msg_type)
        if msg_type not in TABLES:
            raise MessageRejected("UNKNOWN_TYPE", 2, f"found 35={msg_type[:20]!r}, expected a KRX message type")
        plan = make_plan(msg_type, fields)
        outputs = zip(plan.emissions, plan.render(fields), strict=True)
        texts = [strip_empty_levels(text) if emission.target == "depth" else text for emission, text in outputs]
        self._learn(text, plan, fields)
        return Translation(
            msg_type=msg_type,
            sequence=int(fields[plan.sequence].value),
            market=fields[plan.market].value,
            rule=plan.symbol[0],
            key=".".join(fields[i].value for i in plan.symbol[1]),
            board="" if plan.board is None else fields[plan.board].value,
            ticker="" if plan.ticker is None else fields[plan.ticker].value,
            emissions=plan.emissions,
            texts=texts,
        )

    def _learn(self, text: str, plan: Plan, fields: Sequence[Field]) -> None:
        """Compile the layout of this message's shape, once per shape."""
        shape = plan.shape(fields)
        if shape in self._shapes:
            return
        if len(self._shapes) >= SHAPES_MAX:  # a feed of ever new shapes: forget which were tried, never grow
            self._shapes.clear()
        self._shapes.add(shape)
        layout = compile_layout(plan, fields)
        if layout is None:
            return
        layouts = self.layouts.setdefault(layout_key(text, text.index("\x0135=") + 4), [])
        layouts.insert(0, layout)
        if len(layouts) > LAYOUTS_MAX:
            layouts.pop()
            self._shapes.clear()
