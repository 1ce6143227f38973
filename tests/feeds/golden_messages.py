"""One message of each routed type, twice with other values: `messages(values)` of one shape."""

from __future__ import annotations

from tests.feeds.wire import ISIN, Pair, book, expected, message, trade

DERIVATIVE = "VN41I1F60005"
Values = dict[str, str]
FIRST: Values = {
    "price": "98500.0", "quantity": "300", "date": "20260320", "time": "021500120", "limit": "105300.0", "text": "AB1",
    "isin": ISIN, "ticker": "FPT", "value": "1274.63",
}  # fmt: skip
SECOND: Values = {
    "price": "98600.0", "quantity": "1200", "date": "20261231", "time": "064459999", "limit": "0.0", "text": "BC1",
    "isin": "VN000000VNM8", "ticker": "VNM", "value": "1275.01",
}  # fmt: skip


def definition(n: int, v: Values) -> bytes:
    body: list[Pair] = [
        (30001, "STO"),
        (20004, "G1"),
        (911, "3851"),
        (207, "HO"),
        (55, v["isin"]),
        (30624, v["ticker"]),
    ]
    body += [(30629, "Công ty"), (20009, "S1STOST"), (201, ""), (541, v["date"]), (225, ""), (223, "0.0"), (15, "VND")]
    body += [(20020, v["quantity"]), (1149, "105300.0"), (1148, "-999999999.0"), (965, "N"), (30631, "100.0")]
    return message("d", n, *body, (20013, v["price"]), (140, "98500.0"), (30301, v["date"]), (30635, "NRM"))


def by_type(n: int, v: Values) -> dict[str, bytes]:
    """A message of each of the 13 types, X in both shapes, f with and without a symbol."""
    stock: list[Pair] = [(30001, "STO"), (20004, "G1"), (55, v["isin"])]
    future: list[Pair] = [(30001, "DVX"), (20004, "G1"), (55, DERIVATIVE)]
    level: list[Pair] = [(346, "3"), (30270, "-09999.999900")]
    snapshot: list[Pair] = [*stock[:2], (336, "40"), stock[2], (387, v["quantity"]), (381, "5181018570.0"), (268, 1)]
    snapshot += [(83, 1), (279, 0), (269, "2"), (290, 0), (270, v["price"]), (271, v["quantity"]), *level]
    index: list[Pair] = [(30001, "STO"), (336, "40"), (30569, "1"), (30167, "001"), (15, "VND"), (60, v["time"])]
    room: list[Pair] = [(30557, v["quantity"]), (30558, "")]
    foreign: list[Pair] = [*stock[:2], (336, "40"), stock[2], (60, v["time"]), (20054, "10"), (331, v["quantity"])]
    constituent: list[Pair] = [(30001, "STO"), (30569, "1"), (30167, "101"), (15, "VND"), (30632, "VN30")]
    return {
        "d": definition(n, v),
        "X trade": trade(n, isin=v["isin"], price=v["price"], quantity=v["quantity"]),
        "X book": book(n, isin=v["isin"], depth=2, bid=int(v["price"][:-2])),
        "f": message("f", n, *stock[:2], (20005, v["text"]), (20008, "SS"), stock[2], (336, "40")),
        "f board": message("f", n, *stock[:2], (20005, v["text"]), (336, "40"), (30651, "")),
        "M7": message("M7", n, *stock, (20013, v["price"]), (1149, v["limit"]), (1148, "91700.0"), (20014, "0.0")),
        "M8": message("M8", n, *stock, (20026, v["price"]), (30541, "0.0"), (20027, "1")),
        "ME": expected(n, isin=v["isin"], price=v["price"]),
        "MF": message("MF", n, stock[0], stock[2], *room),
        "MX": message(
            "MX", n, *future, (60, v["time"]), (1149, v["value"]), (1148, "1100.0"), (30649, "1"), (30650, "")
        ),
        "M1": message("M1", n, *index, (30217, v["value"]), (387, v["quantity"]), (381, "9876.0"), (30590, "210")),
        "MT": message("MT", n, *foreign, (30168, "1.0"), (330, "0"), (30169, "0.0"), (30646, "7.5")),
        "MA": message("MA", n, future[0], future[2], (75, v["date"]), (30540, v["quantity"])),
        "W": message("W", n, *snapshot),
        "ML": message("ML", n, *constituent, (30606, "30"), (30607, str(n)), (55, v["isin"])),
    }
