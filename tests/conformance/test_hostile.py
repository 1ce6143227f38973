"""Hostile frames: each has its code, and the gateway's memory stays flat."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import psutil
import pytest

from subscriptions.protocol import MESSAGE_BYTES_MAX
from tests.conformance.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, Raw, frame, raw_client
from tests.conformance.server import Client, Server

pytestmark = pytest.mark.services
WARM_UP, ROUNDS = 40, 160
# Of what the measured rounds send: keeping it shows.
GROWTH_BYTES_MAX = ROUNDS * 3 * MESSAGE_BYTES_MAX * 3 // 4
CROWDS = 18  # the first eight fill the allocator's pools
UNREAD_BYTES_MAX = 24 << 20  # replies to one that never reads, in the gateway's and the kernel's buffers


def fragments_without_end(raw: Raw) -> None:
    """More than a message may hold, in pieces that each are small."""
    raw.send(frame(TEXT, b"{" + b" " * 999, fin=False))
    for _ in range(MESSAGE_BYTES_MAX // 1_000 + 1):
        raw.send(frame(CONTINUATION, b" " * 1_000, fin=False))


def a_byte_too_many(raw: Raw) -> None:
    raw.send(frame(TEXT, b" " * (MESSAGE_BYTES_MAX + 1)))


def a_length_that_lies(raw: Raw) -> None:
    """A frame of 8 EiB, of which nothing comes."""
    raw.send(b"\x81\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0")


def bad_text(raw: Raw) -> None:
    raw.send(frame(TEXT, b'{"op":"\xff\xfe"}'))


def unmasked(raw: Raw) -> None:
    raw.send(frame(TEXT, b'{"op":"ping"}', masked=False))


def nested(raw: Raw) -> None:
    """Refused without a look at what is inside; then a polite end."""
    raw.send(frame(TEXT, b"[" * 8_000 + b"]" * 8_000) + frame(CLOSE))


HOSTILE = {
    a_byte_too_many: 1009, fragments_without_end: 1009, a_length_that_lies: 1009, bad_text: 1007, unmasked: 1002,
}  # fmt: skip


def test_a_byte_too_many(server: Server) -> None:
    """16 KiB are served, one byte more is not."""
    with raw_client(server) as raw:
        text = b'{"op":"ping","id":"most"}'
        raw.send(frame(TEXT, text + b" " * (MESSAGE_BYTES_MAX - len(text))))
        assert json.loads(next(raw.frames())[1])["id"] == "most"
        a_byte_too_many(raw)
        assert raw.close_code() == 1009


@pytest.mark.parametrize(("attack", "code"), HOSTILE.items(), ids=[one.__name__ for one in HOSTILE])
def test_a_hostile_frame_has_its_code(server: Server, attack: object, code: int) -> None:
    with raw_client(server) as raw:
        attack(raw)  # type: ignore[operator]
        assert raw.close_code() == code


@pytest.mark.parametrize("text", ["[" * 8_000 + "]" * 8_000, '{"a":' * 2_000 + "1" + "}" * 2_000])
def test_deep_nesting_is_bad_json_and_the_session_goes_on(server: Server, text: str) -> None:
    with server.connect() as socket:
        client = Client(socket)
        client.frame()
        socket.send(text)
        assert client.frame()["code"] == "BAD_JSON"
        assert client.ask(op="ping", id=1)["t"] == "pong"


def test_the_servers_memory_stays_flat(server: Server) -> None:
    process = psutil.Process(server.system.processes["gateway"].pid)
    for round_ in range(WARM_UP + ROUNDS):
        if round_ == WARM_UP:  # what the first rounds took was caches and pools
            before = process.memory_info().rss
        attacks = HOSTILE if round_ < WARM_UP // 2 else (a_byte_too_many, fragments_without_end, nested)
        for attack in attacks:
            with raw_client(server) as raw:
                attack(raw)
                assert raw.close_code() is not None
    grown = process.memory_info().rss - before
    print(f"{ROUNDS * 3} attacks of 16 KiB each, {grown >> 10} KiB more than before")
    assert grown < GROWTH_BYTES_MAX


def test_a_crowd_with_unfinished_messages_gives_everything_back(server: Server) -> None:
    """Two hundred at once, each with as much of a message as there may be, that never comes to its end."""
    process = psutil.Process(server.system.processes["gateway"].pid)
    sizes = []
    for _ in range(CROWDS):
        with ExitStack() as stack:
            crowd = [stack.enter_context(raw_client(server, "crowd")) for _ in range(200)]
            for raw in crowd:
                raw.send(frame(TEXT, b"{" + b" " * (MESSAGE_BYTES_MAX - 500), fin=False))
            with server.connect() as socket:
                assert Client(socket).ask(op="ping", id=1)["t"] == "pong"
            sizes.append(process.memory_info().rss)
        until_gone(server, "crowd")
    # Each crowd takes the place of the ones before, give or take what the allocator cannot fit together again (10 MB
    # over the first ten, then flat). Half of what was sent and kept meanwhile would be a leak.
    grown = min(sizes[-3:]) - min(sizes[8:11])
    assert grown < (CROWDS - 11) * 200 * MESSAGE_BYTES_MAX // 2, sizes


def until_gone(server: Server, key: str) -> None:
    """Until only we have a session of this key."""
    deadline = time.monotonic() + 30
    while True:
        with server.connect(key) as socket:
            if Client(socket).frame()["limits"]["sessions_used"] == 1:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_fragments_and_pings_that_never_end_hold_nothing(server: Server) -> None:
    """A message that is never finished costs what came of it; the pings between its pieces are answered."""
    with raw_client(server) as raw:
        raw.send(frame(TEXT, b'{"op":', fin=False))
        for number in range(50):
            raw.send(frame(PING, b"%d" % number))
        answers = raw.frames()
        assert [next(answers) for _ in range(50)] == [(10, b"%d" % number) for number in range(50)]
        raw.send(frame(BINARY, b""))  # another message before the end of the first
        assert raw.close_code() == 1002


def test_who_asks_and_never_reads(server: Server) -> None:
    """Replies that nobody takes are bounded: 4001, though the close itself may not be read either."""
    process = psutil.Process(server.system.processes["gateway"].pid)
    before = process.memory_info().rss
    with raw_client(server, receive_bytes=4_096) as raw:
        names = ["FPT", "VNM", *(f"N{number:04}" for number in range(900))]
        many = json.dumps({"op": "sub", "id": 1, "ch": "stats", "symbols": names}).encode()
        deadline = time.monotonic() + 60
        raw.sock.settimeout(2.0)
        try:
            while time.monotonic() < deadline:
                raw.sock.sendall(frame(TEXT, many))
                time.sleep(0.005)
        except OSError:
            """The gateway reads no more, or has gone."""
        raw.sock.settimeout(20.0)
        assert raw.close_code() in (4001, None)
    with server.connect() as socket:
        assert Client(socket).ask(op="ping", id=1)["t"] == "pong"
    assert process.memory_info().rss - before < UNREAD_BYTES_MAX
