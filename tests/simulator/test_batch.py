"""A prepared batch sends exactly its datagrams, in order, to any number of sockets."""

from __future__ import annotations

import socket

from feeds.config import LineConfig
from feeds.simulator.batch import Batch
from feeds.simulator.sender import LineSender


def listener() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(5)
    return udp


def test_two_lines_send_the_same_batch() -> None:
    datagrams = [b"%d" % n * (n % 700 + 1) for n in range(100)]
    batch = Batch(datagrams)
    for name in ("A", "B"):
        with listener() as udp:
            sender = LineSender(LineConfig(name, "127.0.0.1", udp.getsockname()[1]))
            sender.send_batch(batch)
            assert [udp.recv(65_536) for _ in datagrams] == datagrams
            assert (sender.sent, sender.sent_bytes) == (100, sum(map(len, datagrams)))
            sender.close()


def test_nobody_listens() -> None:
    with listener() as udp:
        port = udp.getsockname()[1]
    sender = LineSender(LineConfig("A", "127.0.0.1", port))
    for _ in range(3):
        sender.send_batch(Batch([b"x"] * 20))
    assert sender.sent == 60
    assert sender.refused > 0
    sender.close()


def test_an_empty_batch() -> None:
    with listener() as udp:
        sender = LineSender(LineConfig("A", "127.0.0.1", udp.getsockname()[1]))
        sender.send_batch(Batch([]))
        assert sender.sent == 0
        sender.close()
