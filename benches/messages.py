"""Messages for the parse benchmark, encoded with simplefix as the feed would send them."""

from __future__ import annotations

import simplefix

ISIN = "VN000000FPT1"


def encode(msg_type: str, sequence: int, body: list[tuple[int, str]]) -> bytes:
    """One message with the feed's header; simplefix adds BodyLength and CheckSum."""
    message = simplefix.FixMessage()
    message.append_pair(8, "FIX.4.4", header=True)
    message.append_pair(35, msg_type, header=True)
    message.append_pair(49, "VNMGW", header=True)
    message.append_pair(56, "99999", header=True)
    message.append_pair(34, sequence, header=True)
    message.append_pair(52, "20261120 02:15:31.737", header=True)
    for tag, value in body:
        message.append_pair(tag, value)
    return bytes(message.encode())


def _price_head(sequence: int) -> list[tuple[int, str]]:
    return [
        (30001, "STO"),
        (20004, "G1"),
        (336, "40"),
        (55, ISIN),
        (75, "20261120"),
        (60, f"0215{sequence % 60:02d}732"),
    ]


def book(levels: int, sequence: int) -> bytes:
    """X in book shape, both sides `levels` deep."""
    body = [*_price_head(sequence), (30521, "512300"), (30522, "498700"), (30523, "0"), (30524, "0")]
    body.append((268, str(2 * levels)))
    number = 0
    for level in range(1, levels + 1):
        for side, price in (("1", 98_500 + 100 * level), ("0", 98_500 - 100 * level)):
            number += 1
            quantity = 100 * ((sequence * 7 + number * 13) % 997 + 1)
            body += [(83, str(number)), (279, "0"), (269, side), (290, str(level)), (270, f"{price}.0")]
            body += [(271, str(quantity)), (346, "0"), (30271, "0")]
    return encode("X", sequence, body)


def short_book(sequence: int) -> bytes:
    """The 54-field, 451-byte case of design.md: X in book shape, 3 levels, entries without 346 and 30271."""
    body = [*_price_head(sequence), (30521, "5123000"), (30522, "4987000"), (30523, "0"), (268, "6")]
    for number in range(1, 7):
        level, side = (number + 1) // 2, "1" if number % 2 else "0"
        price = 98_500 + 100 * level if side == "1" else 98_500 - 100 * level
        quantity = 100 * ((sequence * 7 + number * 13) % 897 + 100)
        body += [(83, str(number)), (279, "0"), (269, side), (290, str(level))]
        body += [(270, f"{price}.0"), (271, str(quantity))]
    return encode("X", sequence, body)


def trade(sequence: int, *, bond: bool = False) -> bytes:
    """X in trade shape; `bond` adds the yields."""
    body = [*_price_head(sequence), (387, str(1_000_000 + sequence * 100)), (381, f"{98_500_000_000 + sequence}.0")]
    body.append((268, "4"))
    for number, (kind, price) in enumerate((("2", 98_500), ("4", 98_100), ("7", 99_000), ("8", 97_900)), start=1):
        quantity = str(100 * (sequence % 50 + 1)) if kind == "2" else "0"
        body += [(83, str(number)), (279, "0"), (269, kind), (290, "0"), (270, f"{price}.0"), (271, quantity)]
        body += [(346, "0"), (30270, "-09999.999900") if bond else (30271, "0")]
    return encode("X", sequence, body)


def index(sequence: int) -> bytes:
    """M1."""
    body = [(30001, "STO"), (336, "40"), (30569, "1"), (30167, "001"), (15, "VND"), (60, f"0215{sequence % 60:02d}000")]
    body += [(30217, f"1274.{sequence % 100:02d}"), (387, str(412_345_600 + sequence)), (381, "9876543210000.0")]
    body += [(tag, "412345600" if tag % 2 == 0 else "9876543210000.0") for tag in range(30638, 30642)]
    body += [(tag, str(tag % 300)) for tag in range(30589, 30597)]
    return encode("M1", sequence, body)


def definition(sequence: int) -> bytes:
    """d, with the optional fields empty as the feed sends them."""
    body = [(30001, "STO"), (20004, "G1"), (911, "3851"), (207, "HO"), (55, ISIN), (30624, "FPT"), (30628, "1729")]
    body += [(30629, "FPT Corporation"), (30630, "FPT Corporation"), (20009, "S1STOST"), (20003, "STO")]
    body += [(30604, "ST"), (201, ""), (1194, ""), (541, ""), (106, "ID00000083"), (225, ""), (231, "1.0")]
    body.append((223, "0.0"))
    body += [(15, "VND"), (20020, "1366000000"), (1149, "105300.0"), (1148, "91700.0"), (202, "0.0"), (965, "N")]
    body += [(30631, "100.0"), (1193, ""), (236, "0.0"), (20013, "98500.0"), (20014, "0.0"), (20015, "0.0")]
    body += [(20016, "0.0"), (140, "98500.0"), (20027, "1"), (30642, ""), (30511, ""), (30301, "20061213")]
    body += [(30614, "2"), (20018, "00"), (30625, "0.0"), (30635, "NRM"), (30636, "NRM"), (30637, "NRM")]
    return encode("d", sequence, body)


CASES = {
    "X book, 54 fields": short_book,
    "X book 3 levels": lambda n: book(3, n),
    "X book 5 levels": lambda n: book(5, n),
    "X book 10 levels": lambda n: book(10, n),
    "X trade": trade,
    "X trade, bond": lambda n: trade(n, bond=True),
    "M1 index": index,
    "d definition": definition,
}
