"""bin/soak's checks bite: order, sequences against the truth, lines against the relay's log, kernel drops."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from benches.soak.client import SoakClient
from benches.soak.drops import drops_at
from benches.soak.line_match import Lines
from benches.soak.numbers import CHUNK_BITS, Account, Numbers
from benches.soak.order import Order
from feeds.blocks import Block
from feeds.simulator.truth import digest_of
from testbed.relay import LOST, OUT

STO = ("STO", "market")
FIX = b"8=FIX.4.4\x019=5\x0135=%s\x0149=VNMGW\x0156=9\x0134=%d\x0152=20261121 02:00:00.000\x0130001=STO\x0110=000\x01"
S = 1_000_000_000


def of(*numbers: int) -> Numbers:
    found = Numbers()
    for number in numbers:
        found.add(STO, number)
    return found


def gaps(*ranges: tuple[int, int]) -> Numbers:
    found = Numbers()
    found.add_gaps([("STO.market", first, last) for first, last in ranges])
    return found


def test_numbers_follow_on() -> None:
    order = Order()
    for n in (5, 6, 8):
        order.number("depth FPT", n)
    order.number("depth VNM", 1)
    assert order.violations == ["I7 depth FPT: n 8 after 6"]
    assert order.last == {"depth FPT": 8, "depth VNM": 1}


def test_sequences_rise_by_source_and_late_ones_are_kept() -> None:
    order = Order()
    for msg_type, q in (("X", 1), ("W", 1), ("X", 9), ("W", 2), ("X", 4), ("X", 10)):
        order.sequence("depth FPT", "STO", msg_type, q=q)
    assert order.back == [("STO", "market", 4)]
    assert order.violations == []


def test_what_is_missing_is_announced() -> None:
    made = of(*range(1, 11))
    account = Account(made, of(1, 2, 5, 6, 9), gaps((3, 4), (7, 8)))
    assert account.violations() == []  # 10 came after everything: nobody can know
    assert (account.missing, account.late) == (4, 0)
    account = Account(made, of(1, 2, 4, 5), gaps((3, 4)))
    assert account.violations() == []
    assert (account.missing, account.late) == (1, 1)


@pytest.mark.parametrize(
    ("journaled", "announced", "code"),
    [
        (of(1, 2, 5), gaps((3, 3)), "I13"),  # 4 is lost in silence
        (of(1, 2, 3, 11), gaps((4, 10)), "I2"),  # 11 was never made
        (of(1, 2, 3), gaps((4, 12)), "I2"),
    ],
)
def test_other_numbers_are_violations(journaled: Numbers, announced: Numbers, code: str) -> None:
    found = Account(of(*range(1, 11)), journaled, announced).violations()
    assert [text.split()[0] for text in found] == [code]


def test_numbers_across_chunks() -> None:
    edge = 1 << CHUNK_BITS
    made = of(*range(edge - 3, edge + 4))
    came = of(edge - 3, edge + 3)
    assert came.ends(STO) == (edge - 3, edge + 3)
    account = Account(made, came, gaps((edge - 2, edge + 2)))
    assert account.violations() == []
    assert account.missing == 5
    assert len(Account(made, came, gaps((edge - 2, edge))).violations()) == 1


def test_numbers_of_messages() -> None:
    found = Numbers()
    for data in (FIX % (b"X", 7), FIX % (b"X", 7), FIX % (b"W", 3), FIX % (b"M1", 9), b"garbage"):
        found.add_message(data, digest_of(data))
    assert {source: found.ends(source) for source in found.chunks} == {STO: (7, 7), ("STO", "W"): (3, 3)}


def lines_of(folder: Path, rows: list[tuple[int, int, bytes]], kills: list[int]) -> Lines:
    """`rows`: what, seconds, bytes; of line A."""
    path = folder / "relay.log"
    path.write_bytes(b"".join(struct.pack("<BBQ8s", what, 0, at * S, digest_of(data)) for what, at, data in rows))
    return Lines(path, kills)


def block(*datagrams: bytes) -> Block:
    return Block(1, 1, 1, [(0, 0, 0, data) for data in datagrams])


SENT = [(OUT, at, b"%d" % at) for at in range(1, 9)]
COUNTS = {"received": 8, "kernel_drops": 0, "sent": 8}


def test_a_line_that_has_everything(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, [*SENT, (LOST, 9, b"9")], [])
    lines.take([block(*(data for _, _, data in SENT))])
    lines.settle(last=True)
    assert lines.lines[0].violations(COUNTS, sent=8, kernel_drops=0) == []
    assert lines.journaled == 8


def test_only_what_was_lost_around_a_kill_is_excused(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, SENT, [4 * S])
    lines.take([block(b"1", b"2", b"6"), block(b"8")])
    lines.settle(last=True)
    line = lines.lines[0]
    assert (line.away, line.missing, line.away_ns_max) == (3, 1, 2 * S)
    assert line.violations(COUNTS, sent=8, kernel_drops=1) == []
    (text,) = line.violations(COUNTS, sent=8, kernel_drops=0)
    assert text.startswith("I3 line A: 1 datagrams not journaled")


def test_other_bytes_and_other_sums_are_violations(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, SENT[:2], [])
    lines.take([block(b"1", b"x", b"2")])
    assert lines.lines[0].unknown == 0  # the relay's log may be behind
    lines.settle(last=True)
    codes = [text[:2] for text in lines.lines[0].violations(COUNTS, sent=9, kernel_drops=0)]
    assert codes == ["I1", "I1", "I3", "I3"]


def test_drops_of_a_full_socket() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        full.bind(("127.0.0.1", 0))
        port = full.getsockname()[1]
        assert drops_at([port, 1]) == [0, 0]
        for _ in range(100):
            out.sendto(bytes(1_000), ("127.0.0.1", port))
        (dropped, _) = drops_at([port, 1])
    assert 50 < dropped < 100


def test_the_client_is_held_to_parsed_and_to_the_gateway() -> None:
    client = SoakClient("ws://127.0.0.1:1/", "key")
    client.by_connection.append(0)
    client._take('[{"ch":"trade","s":"A","n":1,"ep":"e"},{"ch":"trade","s":"A","n":2,"ep":"e"}]', client.last)
    stream = '{"ch":"trade","s":"A" e'
    assert client.last == {stream: 2}
    assert client.lacks({stream: 2}, delivered=2) == []
    assert len(client.lacks({stream: 3}, delivered=3)) == 2
    client.gateway_died()
    assert client.lacks({stream: 2}, delivered=0) == []
    client.by_connection.append(0)
    client._take('[{"ch":"trade","s":"A","n":4,"ep":"e"}]', client.last)
    assert client.violations == [f"I7 client, connection 2: {stream} n 4 after 2"]
