"""The cases of Autobahn's fuzzing client, by their ids, sent as raw bytes (docs/protocol/autobahn.md).

The service does not echo: a message that Autobahn wants back is an operation here, and its answer is the proof.
"""

from __future__ import annotations

import json
import struct
from itertools import pairwise

import pytest

from tests.conformance.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame, raw_client
from tests.conformance.server import Server

pytestmark = pytest.mark.services


def asking(size: int = 0) -> bytes:
    """A `ping` operation of so many bytes; its id is as long as ids may be, the rest is space."""
    text = b'{"op":"ping","id":"case"}'
    return text + b" " * (size - len(text))


ASK = asking()
HALF = len(ASK) // 2


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, (b"" if code is None else struct.pack("!H", code)) + reason)


def text(payload: bytes) -> bytes:
    return frame(TEXT, payload)


def split(payload: bytes, *at: int, between: bytes = b"") -> bytes:
    """A text message in fragments, with something between them."""
    cuts = [0, *at, len(payload)]
    pieces = [payload[start:end] for start, end in pairwise(cuts)]
    last = len(pieces) - 1
    return between.join(
        frame(CONTINUATION if number else TEXT, piece, fin=number == last) for number, piece in enumerate(pieces)
    )


def pieces(opcode: int, size: int) -> bytes:
    """The first 64 KiB of a message in fragments of this size."""
    first = frame(opcode, b" " * size, fin=False)
    return first + frame(CONTINUATION, b" " * size, fin=False) * (65_536 // size)


# Expected: "answer" (of the operation), an error code of the protocol, or a close code.
Expected = str | int
CASES: dict[str, tuple[bytes, Expected]] = {
    # 1 framing
    "1.1.1": (text(b""), "BAD_JSON"), "1.1.2": (text(asking(125)), "answer"), "1.1.3": (text(asking(126)), "answer"),
    "1.1.4": (text(asking(127)), "answer"), "1.1.5": (text(asking(128)), "answer"),
    "1.1.6": (text(asking(65_535)), 1009), "1.1.7": (text(asking(65_536)), 1009), "1.1.8": (text(asking(65_536)), 1009),
    "1.2.1": (frame(BINARY), "BAD_JSON"), "1.2.2": (frame(BINARY, bytes(125)), "BAD_JSON"),
    "1.2.3": (frame(BINARY, bytes(126)), "BAD_JSON"), "1.2.4": (frame(BINARY, bytes(127)), "BAD_JSON"),
    "1.2.5": (frame(BINARY, bytes(128)), "BAD_JSON"), "1.2.6": (frame(BINARY, bytes(65_535)), 1009),
    "1.2.7": (frame(BINARY, bytes(65_536)), 1009), "1.2.8": (frame(BINARY, bytes(65_536)), 1009),
    # 2 pings and pongs (what a ping is answered with: test_pings)
    "2.5": (frame(PING, bytes(126)), 1002), "2.7": (frame(PONG) + text(ASK), "answer"),
    "2.8": (frame(PONG, b"unasked") + text(ASK), "answer"),
    # 3 reserved bits
    "3.1": (frame(TEXT, ASK, rsv=1), 1002), "3.2": (text(ASK) + frame(TEXT, ASK, rsv=2), 1002),
    "3.3": (text(ASK) + frame(TEXT, ASK, rsv=3), 1002), "3.4": (text(ASK) + frame(TEXT, ASK, rsv=4), 1002),
    "3.5": (frame(BINARY, bytes(8), rsv=5), 1002), "3.6": (frame(PING, b"x", rsv=6), 1002),
    "3.7": (frame(CLOSE, rsv=7), 1002),
    # 4 opcodes
    **{f"4.1.{number}": (frame(opcode, b"x" * (number - 1)), 1002) for number, opcode in enumerate(range(3, 8), 1)},
    **{f"4.2.{number}": (frame(opcode, b"x" * (number - 1)), 1002) for number, opcode in enumerate(range(11, 16), 1)},
    # 5 fragmentation
    "5.1": (frame(PING, b"x", fin=False) + frame(CONTINUATION, b"y"), 1002),
    "5.2": (frame(PONG, b"x", fin=False) + frame(CONTINUATION, b"y"), 1002),
    "5.3": (split(ASK, HALF), "answer"), "5.4": (split(ASK, HALF), "answer"), "5.5": (split(ASK, HALF), "answer"),
    "5.6": (split(ASK, HALF, between=frame(PING, b"p")), "answer"),
    "5.7": (split(ASK, HALF, between=frame(PING, b"p")), "answer"),
    "5.8": (split(ASK, HALF, between=frame(PING, b"p")), "answer"),
    "5.9": (frame(CONTINUATION, b"x") + text(ASK), 1002), "5.10": (frame(CONTINUATION, b"x") + text(ASK), 1002),
    "5.11": (frame(CONTINUATION, b"x") + text(ASK), 1002),
    **{f"5.{number}": (frame(CONTINUATION, b"x", fin=False) + text(ASK), 1002) for number in (12, 13, 14)},
    "5.15": (split(ASK, HALF) + frame(CONTINUATION, b"x", fin=False) + text(ASK), 1002),
    "5.16": (frame(CONTINUATION, b"x", fin=False) + split(ASK, HALF), 1002),
    "5.17": (frame(CONTINUATION, b"x") + split(ASK, HALF), 1002),
    "5.18": (frame(TEXT, b"{", fin=False) + text(ASK), 1002),
    "5.19": (split(ASK, 3, 6, 9, 12, between=frame(PING, b"p")), "answer"),
    "5.20": (split(ASK, 3, 6, 9, 12, between=frame(PING, b"p")), "answer"),
    # 6 UTF-8
    "6.1.1": (text(b""), "BAD_JSON"), "6.1.2": (split(b"", 0, 0), "BAD_JSON"),
    "6.1.3": (split(ASK, 0, len(ASK)), "answer"),
    "6.2.1": (text('{"op":"ping","id":"κόσμε"}'.encode()), "pong"),
    "6.2.2": (split('{"op":"ping","id":"κόσμε"}'.encode(), 20), "pong"),
    "6.2.3": (split('{"op":"ping","id":"κόσμε"}'.encode(), *range(1, 28)), "pong"),
    "6.3.1": (text(b'{"op":"\xce\xba\xed\xa0\x80edited"}'), 1007),
    "6.3.2": (split(b'{"op":"\xce\xba\xed\xa0\x80edited"}', 9, 11), 1007),
    "6.4.1": (split(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 11, 15), 1007),
    "6.4.2": (split(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 12, 13), 1007),
    # 7 closes
    "7.1.1": (text(ASK) + close(1000), 1000), "7.1.2": (close(1000) + close(1000), 1000),
    "7.1.6": (text(b" " * 262_144) + close(1000) + frame(PING), 1009), "7.1.3": (close(1000) + frame(PING), 1000),
    "7.1.4": (close(1000) + text(ASK), 1000), "7.1.5": (frame(TEXT, b"{", fin=False) + close(1000), 1002),
    "7.3.1": (close(), 1005), "7.3.2": (frame(CLOSE, b"a"), 1002), "7.3.3": (close(1000), 1000),
    "7.3.4": (close(1000, b"bye"), 1000), "7.3.5": (close(1000, b"x" * 123), 1000),
    "7.3.6": (close(1000, b"x" * 124), 1002), "7.5.1": (close(1000, b"\xce\xba\xed\xa0\x80"), 1007),
    **{
        f"7.7.{number}": (close(code), code)
        for number, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1)
    },
    **{
        f"7.9.{number}": (close(code), 1002)
        for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1)
    },
    "7.13.1": (close(5000), 1002), "7.13.2": (close(65_535), 1002),
    # 9 and 10: messages of 64 KiB to 16 MiB, whole and in fragments
    **{
        f"9.{group}.{number}": (frame(opcode, b" " * (size << 10)), 1009)
        for group, opcode in ((1, TEXT), (2, BINARY)) for number, size in enumerate((64, 256, 1024, 4096), 1)
    },
    **{
        f"9.{group}.{number}": (pieces(opcode, 4**number * 16), 1009)
        for group, opcode in ((3, TEXT), (4, BINARY)) for number in range(1, 6)
    },
    "10.1.1": (split(b" " * 65_536, 1_300), 1009),
}  # fmt: skip


def answer(raw: Raw) -> dict[str, object]:
    """The next text frame; pongs to the case's own pings are passed over."""
    for opcode, payload in raw.frames():
        if opcode == TEXT:
            found: dict[str, object] = json.loads(payload)
            return found
        assert opcode == PONG, f"opcode {opcode}: {payload!r}"
    raise EOFError


@pytest.mark.parametrize("case", CASES)
def test_cases(server: Server, case: str) -> None:
    sent, expected = CASES[case]
    with raw_client(server) as raw:
        raw.send(sent)
        if isinstance(expected, int):
            assert raw.close_code() == expected
            return
        found = answer(raw)
        assert found.get("code", found["t"]) == ("pong" if expected == "answer" else expected)
        if expected == "answer":
            assert found["id"] == "case"
        raw.send(text(ASK))
        assert answer(raw)["id"] == "case"


@pytest.mark.parametrize("case", ["1.1.8", "2.6", "5.4", "6.2.4"])
def test_octet_by_octet(server: Server, case: str) -> None:
    """The same in pieces of one byte each."""
    sent = text(ASK) if case != "2.6" else frame(PING, b"x" * 125) + text(ASK)
    with raw_client(server) as raw:
        for at in range(len(sent)):
            raw.send(sent[at : at + 1])
        assert answer(raw)["id"] == "case"


@pytest.mark.parametrize(
    ("case", "payloads"),
    [
        ("2.1", [b""]), ("2.2", [b"Hello"]), ("2.3", [b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"]), ("2.4", [b"\xfe" * 125]),
        ("2.9", [b"asked"]),
        ("2.10", [b"payload-%d" % number for number in range(10)]), ("2.11", [b"%d" % number for number in range(10)]),
    ],
)  # fmt: skip
def test_pings(server: Server, case: str, payloads: list[bytes]) -> None:
    sent = b"".join(frame(PING, payload) for payload in payloads)
    with raw_client(server) as raw:
        raw.send(frame(PONG, b"unasked") if case == "2.9" else b"")
        for at in range(0, len(sent), 1 if case == "2.11" else len(sent)):  # 2.11: octet by octet
            raw.send(sent[at : at + (1 if case == "2.11" else len(sent))])
        answers = raw.frames()
        assert [next(answers) for _ in payloads] == [(PONG, payload) for payload in payloads]


@pytest.mark.parametrize(("group", "opcode"), [("9.7", TEXT), ("9.8", BINARY)])
@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096])
def test_round_trips(server: Server, group: str, opcode: int, size: int) -> None:
    """Many messages one after another, each answered before the next (300; Autobahn sends 1,000)."""
    sent = b'{"op":"ping"}'.ljust(size) if size else b""
    expected = "pong" if opcode == TEXT and size else "BAD_JSON"
    with raw_client(server) as raw:
        for _ in range(300):
            raw.send(frame(opcode, sent))
            found = answer(raw)
            assert found.get("code", found["t"]) == expected
