"""The field order of every message type the simulator sends.

The orders of d, X, f and M8 are those of the real messages; the others follow the table of krx_mdds.md. None marks a
value given with each message.
"""

from feeds.simulator.encoder import VALUE, Field, Layout

EMPTY_LEVEL = "270=0.0\x01271=0\x01346=0\x0130271=0\x01"
_LEVEL: tuple[Field, ...] = ((270, VALUE), (271, VALUE), (346, VALUE), (30271, "0"))


def _open(*tags: int) -> list[Field]:
    return [(tag, VALUE) for tag in tags]


def _book_group(depth: int) -> list[Field]:
    """268 = 2 x depth entries, offer (269=1) then bid (269=0) of each level."""
    fields: list[Field] = [(268, str(2 * depth))]
    for entry in range(2 * depth):
        side = "1" if entry % 2 == 0 else "0"
        fields += [(83, str(entry + 1)), (279, "0"), (269, side), (290, str(entry // 2 + 1)), *_LEVEL]
    return fields


def _trade_group() -> list[Field]:
    """Last price and quantity, open, high, low: the only place of a quantity is the last trade's."""
    fields: list[Field] = [(268, "4")]
    for entry, kind in enumerate("2478", start=1):
        quantity = VALUE if kind == "2" else "0"
        fields += [(83, str(entry)), (279, "0"), (269, kind), (290, "0"), (270, VALUE), (271, quantity), (346, "0")]
    return fields


def book_layout(depth: int) -> Layout:
    """Values: 30001 20004 336 55 75 60, 30521-30524; fragments: 2 x depth rendered levels."""
    head = _open(30001, 20004, 336, 55, 75, 60, 30521, 30522, 30523, 30524)
    return Layout("X", [*head, *_book_group(depth)], fragment=_LEVEL)


def recovery_layout(depth: int) -> Layout:
    """Values: 30001 20004 336 55, 387 381, 30521-30524, 30561-30563 20026; fragments: 2 x depth rendered levels."""
    head = _open(30001, 20004, 336, 55, 387, 381, 30521, 30522, 30523, 30524, 30561, 30562, 30563, 20026)
    return Layout("W", [*head, *_book_group(depth)], fragment=_LEVEL)


TRADE = Layout("X", [*_open(30001, 20004, 336, 55, 75, 60, 387, 381), *_trade_group()])
"""Values: 30001 20004 336 55 75 60 387 381, last price, last quantity, open, high, low."""

DEFINITION = Layout(
    "d",
    [
        *_open(30001, 20004, 911, 207, 55, 30624, 30628, 30629, 30630, 20009, 20003, 30604),
        (201, ""), (1194, ""), (541, VALUE), (106, VALUE), (225, ""), (231, VALUE), (223, "0.0"), (15, "VND"),
        *_open(20020, 1149, 1148), (202, "0.0"), (965, "N"), (30631, VALUE), (1193, ""), (236, "0.0"),
        (20013, VALUE), (20014, "0.0"), (20015, "0.0"), (20016, "0.0"), (140, VALUE), (20027, VALUE), (30642, ""),
        (30511, VALUE), (30301, VALUE), (30614, VALUE), (20018, "00"), (30625, "0.0"),
        (30635, "NRM"), (30636, "NRM"), (30637, "NRM"),
    ],
)  # fmt: skip
BOARD_STATUS = Layout("f", _open(30001, 20004, 20005, 20008, 336))
SYMBOL_STATUS = Layout("f", _open(30001, 20004, 20005, 55, 336))
INFORMATION = Layout(
    "M7",
    [*_open(30001, 20004, 55, 20013, 1149, 1148), (20014, "0.0"), (20015, "0.0"), (20016, "0.0"), (20020, VALUE),
     (20018, "00")],
)  # fmt: skip
CLOSING = Layout("M8", [*_open(30001, 20004, 55, 20026), (30541, "0.0"), (20027, VALUE)])
EXPECTED = Layout("ME", [*_open(30001, 20004, 55, 30552, 30553), (30554, "0.0")])
FOREIGN_ROOM = Layout("MF", _open(30001, 55, 30557, 30558))
LIMIT_EXPANSION = Layout("MX", _open(30001, 20004, 55, 60, 1149, 1148, 30649, 30650))
INDEX = Layout(
    "M1",
    [*_open(30001, 336, 30569, 30167), (15, "VND"), *_open(60, 30217, 387, 381, 30638, 30639, 30640, 30641),
     *_open(30589, 30590, 30591, 30592, 30593, 30594, 30595, 30596)],
)  # fmt: skip
FOREIGN_TRADING = Layout(
    "MT",
    [*_open(30001, 20004, 336, 55, 60), (20054, "10"),
     *_open(331, 30168, 330, 30169, 30643, 30644, 30645, 30646)],
)  # fmt: skip
OPEN_INTEREST = Layout("MA", _open(30001, 55, 75, 30540))
CONSTITUENT = Layout(
    "ML", [*_open(30001, 30569, 30167), (15, "VND"), *_open(30632, 30633, 30606, 30607, 55)],
)  # fmt: skip
HEARTBEAT = Layout("MV", _open(60))
INTERRUPTION = Layout(
    "MD", [*_open(30001, 20004, 55), (20030, "1"), (20031, "D"), *_open(20032, 20047, 20033), (20034, "0.0"),
           (20048, VALUE)],
)  # fmt: skip
TOP_MEMBERS = Layout(
    "M4", [*_open(30001, 55), (911, "1"), (30215, "1"), *_open(30213, 331, 30168), (30216, "1"),
           *_open(30214, 330, 30169)],
)  # fmt: skip
