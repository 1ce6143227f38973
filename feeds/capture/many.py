"""Reads many datagrams in one system call: recvmmsg(2), which Python has no name for, through ctypes.

One recvmsg a datagram costs 2.3 µs, most of it Python's own objects and the call; recvmmsg with the entries made in
one comprehension costs 1.4 µs (docs/benchmarks.md). The layouts are those of 64-bit Linux, glibc and musl alike::

    mmsghdr 64 bytes: name, namelen, iov, iovlen, control, controllen (8 bytes each), flags i32, -, length u32, -
    control 64 bytes: cmsghdr (length u64, level i32, type i32), timespec; and where datagrams were lost another
                      cmsghdr with the count of them (SO_RXQ_OVFL)
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from feeds.blocks import FLAG_MESSAGE, FLAG_TRUNCATED, Entry

DATAGRAM_BYTES_MAX = 16_384  # a larger datagram is cut by the kernel and marked (FLAG_TRUNCATED)
DATAGRAMS_MAX = 128  # per call; the rest waits in the socket's buffer for the next one
CONTROL_BYTES = 64
HEADER_BYTES = 64
SOL_SOCKET, SO_TIMESTAMPNS, SO_RXQ_OVFL = 1, 35, 40
MSG_DONTWAIT, MSG_TRUNC = 0x40, 0x20
NS = 1_000_000_000

_IOVEC = struct.Struct("@QQ")
_HEADER = struct.Struct("@QQQQQQiIII")
_TIMESTAMP_KIND = struct.Struct("@Qii").pack(32, SOL_SOCKET, SO_TIMESTAMPNS)
_KIND = struct.Struct("@8xii")
_DROPS = struct.Struct("@I")
# Control lengths: the timestamp alone, and with the count of lost datagrams behind it.
PLAIN, WITH_DROPS = 32, 56
DROPS_AT = 48
# Fields of many headers at once: (controllen, flags, length) and (seconds, nanoseconds) of 1, 2, 4 ... datagrams.
SIZES = [1 << power for power in range(DATAGRAMS_MAX.bit_length())]
_STATES = {size: struct.Struct("@" + "40xQi4xI4x" * size) for size in SIZES}
_TIMES = {size: struct.Struct("@" + "16xqq32x" * size) for size in SIZES}


class ManyReceiver:
    """Buffers for one socket. `drops` is the kernel's last count of datagrams lost because the buffer was full."""

    def __init__(self, fd: int, line: int) -> None:
        if sys.maxsize < 1 << 32 or not sys.platform.startswith("linux"):
            raise OSError(f"the capture needs 64-bit Linux, this is {sys.platform}")
        self.fd = fd
        self.line = line
        self.drops = 0
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        # Bounded for good: 2 MiB of address space, of which the kernel fills as much as the datagrams are long.
        self._area = bytearray(DATAGRAMS_MAX * DATAGRAM_BYTES_MAX)
        self._control = bytearray(DATAGRAMS_MAX * CONTROL_BYTES)
        area, control = _address(self._area), _address(self._control)
        slots = range(DATAGRAMS_MAX)
        self._iovecs = bytearray(
            b"".join(_IOVEC.pack(area + n * DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX) for n in slots)
        )
        iovecs = _address(self._iovecs)
        self._fresh = b"".join(
            _HEADER.pack(0, 0, iovecs + n * _IOVEC.size, 1, control + n * CONTROL_BYTES, CONTROL_BYTES, 0, 0, 0, 0)
            for n in slots
        )
        self._headers = bytearray(self._fresh)
        self._headers_at = _address(self._headers)
        self._data = memoryview(self._area)
        self._starts = range(0, len(self._area), DATAGRAM_BYTES_MAX)

    def receive(self, entries: list[Entry], most: int) -> int:
        """Append up to `most` (and DATAGRAMS_MAX) waiting datagrams to `entries`; how many. Raises OSError."""
        count: int = self._call(self.fd, self._headers_at, min(most, DATAGRAMS_MAX), MSG_DONTWAIT, None)
        if count <= 0:
            return self._nothing()
        size = 1 << (count - 1).bit_length()
        states = _STATES[size].unpack_from(self._headers)
        end = 3 * count
        lengths = states[2:end:3]
        if any(states[1:end:3]) or not {PLAIN, WITH_DROPS}.issuperset(states[:end:3]):
            self._one_by_one(entries, states[:end])
        else:
            data, line = self._data, self.line
            times = _TIMES[size].unpack_from(self._control)
            entries += [
                (seconds * NS + nanoseconds, line, FLAG_MESSAGE, bytes(data[start : start + length]))
                for length, seconds, nanoseconds, start in zip(
                    lengths, times[::2], times[1::2], self._starts, strict=False
                )  # of count, size, size, all
            ]
            if states[end - 3] == WITH_DROPS:
                self.drops = _DROPS.unpack_from(self._control, (count - 1) * CONTROL_BYTES + DROPS_AT)[0]
        used = count * HEADER_BYTES
        self._headers[:used] = self._fresh[:used]  # the kernel has written lengths and flags
        return count

    def _nothing(self) -> int:
        number = ctypes.get_errno()
        if number in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(number, os.strerror(number))

    def _one_by_one(self, entries: list[Entry], states: tuple[int, ...]) -> None:
        """Datagrams of which one was cut, or came without a timestamp (0: its time is not known)."""
        for number in range(len(states) // 3):
            control_length, flags, length = states[3 * number : 3 * number + 3]
            rx_ns, at = 0, number * CONTROL_BYTES
            end = at + control_length
            while at + 16 < end:
                size = struct.unpack_from("@Q", self._control, at)[0]
                kind = _KIND.unpack_from(self._control, at)
                if kind == (SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack_from("@qq", self._control, at + 16)
                    rx_ns = seconds * NS + nanoseconds
                elif kind == (SOL_SOCKET, SO_RXQ_OVFL):
                    self.drops = _DROPS.unpack_from(self._control, at + 16)[0]
                at += max(size + 7 & ~7, 16)
            start = number * DATAGRAM_BYTES_MAX
            cut = FLAG_TRUNCATED if flags & MSG_TRUNC else FLAG_MESSAGE
            entries.append((rx_ns, self.line, cut, bytes(self._data[start : start + length])))


def _address(buffer: bytearray) -> int:
    """Where the buffer is; it must live as long as the address is used, and never change its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
