"""Real sockets on loopback: unicast and multicast, kernel timestamps, cut datagrams, buffers, errors."""

from __future__ import annotations

import errno
import os
import socket
import time

import pytest

from feeds.blocks import FLAG_MESSAGE, FLAG_TRUNCATED, Entry
from feeds.capture import receiver as receiver_module
from feeds.capture.budget import ReceiveBuffer
from feeds.capture.many import DATAGRAM_BYTES_MAX
from feeds.capture.receiver import LineReceiver
from feeds.config import LineConfig
from testbed.ports import free_port

BUFFER_BYTES = 256 * 1024


def line(group: str = "127.0.0.1", *, port: int | None = None, source: str | None = None) -> LineConfig:
    return LineConfig("A", group, port if port is not None else free_port(), source, "127.0.0.1")


def send(where: LineConfig, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        for data in datagrams:
            sender.sendto(data, (where.group, where.port))


def drain(receiver: LineReceiver, most: int = 512) -> tuple[list[Entry], bool]:
    """Loopback delivers before `sendto` returns, so what was sent is there."""
    entries: list[Entry] = []
    more = receiver.drain(entries, most)
    return entries, more


@pytest.mark.parametrize("group", ["127.0.0.1", "239.255.77.1"])
def test_datagrams_with_kernel_timestamps(group: str) -> None:
    where = line(group)
    receiver = LineReceiver(where, 1, BUFFER_BYTES)
    before = time.time_ns()
    send(where, b"one", b"", b"three" * 200)
    sent = time.time_ns()
    time.sleep(0.05)
    entries, more = drain(receiver)
    receiver.close()
    assert ([entry[1:] for entry in entries], more) == (
        [(1, FLAG_MESSAGE, b"one"), (1, FLAG_MESSAGE, b""), (1, FLAG_MESSAGE, b"three" * 200)],
        False,
    )
    assert receiver.received == 3
    assert all(before <= entry[0] <= sent for entry in entries), "received when they came, not when they were read"


def test_a_bound_on_one_draw_leaves_the_rest() -> None:
    where = line()
    receiver = LineReceiver(where, 0, BUFFER_BYTES)
    send(where, *[b"%d" % n for n in range(10)])
    first, more = drain(receiver, 4)
    rest, last = drain(receiver, 100)
    receiver.close()
    assert [data for *_, data in [*first, *rest]] == [b"%d" % n for n in range(10)]
    assert (len(first), more, last, receiver.received) == (4, True, False, 10)


def test_a_datagram_larger_than_the_buffer_is_marked() -> None:
    where = line()
    receiver = LineReceiver(where, 0, BUFFER_BYTES)
    fits, larger = b"a" * DATAGRAM_BYTES_MAX, b"b" * (DATAGRAM_BYTES_MAX + 1)
    send(where, fits, larger, b"next")
    entries, _ = drain(receiver)
    receiver.close()
    assert [(flags, data) for _, _, flags, data in entries] == [
        (FLAG_MESSAGE, fits),
        (FLAG_TRUNCATED, larger[:DATAGRAM_BYTES_MAX]),
        (FLAG_MESSAGE, b"next"),
    ]
    assert all(entry[0] > 1_700_000_000_000_000_000 for entry in entries)


def test_what_the_kernel_dropped_is_counted() -> None:
    """I1: sent = received + SO_RXQ_OVFL."""
    where = line()
    receiver = LineReceiver(where, 0, 4_096)
    send(where, *[b"x" * 1_000] * 200)
    before, _ = drain(receiver)
    send(where, b"after")
    after, _ = drain(receiver)
    receiver.close()
    assert 0 < len(before) < 200
    assert [data for *_, data in after] == [b"after"]
    assert len(before) + receiver.drops == 200


def test_another_group_on_the_same_port_is_not_heard() -> None:
    port = free_port()
    ours, other = line("239.255.77.1", port=port), line("239.255.77.2", port=port)
    receivers = [LineReceiver(where, n, BUFFER_BYTES) for n, where in enumerate((ours, other))]
    send(ours, b"ours")
    send(other, b"other")
    heard = [[data for *_, data in drain(receiver)[0]] for receiver in receivers]
    for receiver in receivers:
        receiver.close()
    assert heard == [[b"ours"], [b"other"]]


@pytest.mark.parametrize(("source", "heard"), [("127.0.0.1", [b"x"]), ("127.0.0.9", [])])
def test_source_specific_multicast(source: str, heard: list[bytes]) -> None:
    where = line("232.7.7.7", source=source)
    receiver = LineReceiver(where, 0, BUFFER_BYTES)
    send(where, b"x")
    entries, _ = drain(receiver)
    receiver.close()
    assert [data for *_, data in entries] == heard


def test_a_hot_restart_overlaps_on_multicast() -> None:
    """F03: two receivers of one group hear the same; the first may leave without a gap."""
    where = line("239.255.77.3")
    old, new = (LineReceiver(where, 0, BUFFER_BYTES) for _ in range(2))
    send(where, b"both")
    heard = [[data for *_, data in drain(receiver)[0]] for receiver in (old, new)]
    old.close()
    send(where, b"new")
    assert (heard, drain(new)[0][0][3]) == ([[b"both"], [b"both"]], b"new")
    new.close()


@pytest.mark.parametrize(
    ("group", "interface", "problem"),
    [
        ("192.0.2.1", "0.0.0.0", errno.EADDRNOTAVAIL),
        ("239.255.77.1", "192.0.2.1", errno.ENODEV),
    ],
)
def test_an_error_names_the_line(group: str, interface: str, problem: int) -> None:
    where = LineConfig("B", group, free_port(), None, interface)
    with pytest.raises(OSError, match=f"line B \\({group}:{where.port} on {interface}\\)") as caught:
        LineReceiver(where, 1, BUFFER_BYTES)
    assert caught.value.errno == problem


def test_a_port_in_use_names_the_line() -> None:
    where = line()
    first = LineReceiver(where, 0, BUFFER_BYTES)
    with pytest.raises(OSError, match=f"line A \\(127.0.0.1:{where.port} .*in use"):
        LineReceiver(where, 0, BUFFER_BYTES)
    first.close()


def test_a_failed_open_leaves_no_descriptor() -> None:
    elsewhere = line("192.0.2.1")  # a port may be taken with a descriptor
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  entries of a pseudo folder, not paths
    with pytest.raises(OSError):
        LineReceiver(elsewhere, 0, BUFFER_BYTES)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_the_buffer_says_what_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = LineReceiver(line(), 0, 64 * 1024)
    assert receiver.buffer.enough
    receiver.close()
    short = ReceiveBuffer(8 << 20, 416 << 10)
    assert (short.enough, short.describe()) == (
        False,
        "receive buffer 416 KiB instead of 8,192 KiB (184 datagrams of 2,304 bytes, 0.0 s at 30,000/s): "
        "run with CAP_NET_ADMIN or raise net.core.rmem_max",
    )
    # Without the right to force it, the kernel's limit decides.
    monkeypatch.setattr(receiver_module, "SO_RCVBUFFORCE", socket.SO_RCVBUF)
    limited = LineReceiver(line(), 0, 1 << 30)
    limited.close()
    assert not limited.buffer.enough
