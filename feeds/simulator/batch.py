"""Sends many datagrams in one system call: sendmmsg(2), which Python has no name for, through ctypes.

A batch is prepared once and sent to any number of connected sockets: what a prepared run costs while it is sent is
the kernel's work. The layouts are those of 64-bit Linux (see feeds/capture/many.py)::

    mmsghdr 64 bytes: name, namelen, iov, iovlen, control, controllen (8 bytes each), flags i32, -, length u32, -
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable, Sequence
from typing import cast

_IOVEC = struct.Struct("@QQ")
_HEADER = struct.Struct("@QQQQQQiIII")
_SIZE_OF_HEADER = _HEADER.size
# The bytes of a bytes object lie behind its header: its address and this give them, without a ctypes object each.
_BYTES_AT = bytes.__basicsize__ - 1


class Batch:
    """Datagrams in the kernel's own form. It keeps them alive; it is never changed."""

    __slots__ = ("_headers", "_headers_at", "_iovecs", "count", "datagrams", "size")

    def __init__(self, datagrams: Sequence[bytes]) -> None:
        if not _HERE:
            raise OSError(f"prepared runs need 64-bit Linux and CPython, this is {sys.platform}")
        self.datagrams = datagrams
        self.count = len(datagrams)
        self.size = sum(map(len, datagrams))
        pack = _IOVEC.pack
        self._iovecs = bytearray(b"".join([pack(id(data) + _BYTES_AT, len(data)) for data in datagrams]))
        at = _address(self._iovecs)
        headers = [_HEADER.pack(0, 0, at + n * _IOVEC.size, 1, 0, 0, 0, 0, 0, 0) for n in range(self.count)]
        self._headers = bytearray(b"".join(headers))
        self._headers_at = _address(self._headers)

    def send(self, fd: int, start: int = 0) -> int:
        """Hand the datagrams from `start` on to a connected socket; how many it took. Raises OSError."""
        taken: int = _sendmmsg(fd, self._headers_at + start * _SIZE_OF_HEADER, self.count - start, 0)
        if taken >= 0:
            return taken
        number = ctypes.get_errno()
        if number == errno.EINTR:
            return 0
        raise OSError(number, os.strerror(number))


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0


def _find_sendmmsg() -> Callable[[int, int, int, int], int]:
    call = ctypes.CDLL(None, use_errno=True).sendmmsg
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    return cast(Callable[[int, int, int, int], int], call)


_HERE = sys.platform.startswith("linux") and sys.maxsize > 1 << 32 and sys.implementation.name == "cpython"
if _HERE:
    _sendmmsg = _find_sendmmsg()
