"""Refuses addresses and secrets that fail again and again, before they cost a query.  [pure]

Two counts: one secret from one address (a program that restarts with a wrong key), and all failures of an address
(somebody who guesses). A secret is remembered by its digest only. What is refused is told when to come back; each
further failure doubles that.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

SECRET_FAILURES_MAX = 3  # of one secret from one address; past them it is banned
ADDRESS_FAILURES_MAX = 30  # of one address, whatever the secrets: many clients may be behind one
BAN_S_FIRST, BAN_S_MAX = 5, 600
FORGET_S = 900  # without a failure for so long: as if there had been none
ENTRIES_MAX = 10_000  # addresses and secrets remembered; past it: the one that failed longest ago is forgotten


@dataclass(slots=True)
class _Failures:
    count: int = 0
    at_ns: int = 0
    until_ns: int = 0


class BadKeys:
    def __init__(self) -> None:
        self.banned = 0  # attempts refused without a look at the key
        self._failures: OrderedDict[bytes, _Failures] = OrderedDict()

    def wait_ms(self, secret: str, address: str | None, *, now_ns: int) -> int:
        """How long this secret from this address has to wait; 0: it may be tried."""
        waits = [self._left_ns(name, now_ns) for name, _ in _names(secret, address)]
        wait_ms = -(-max(waits) // 1_000_000)
        self.banned += bool(wait_ms)
        return wait_ms

    def failed(self, secret: str, address: str | None, *, now_ns: int) -> None:
        """Take note of one failure."""
        for name, failures_max in _names(secret, address):
            found = self._failures.pop(name, None)
            if found is None or now_ns - found.at_ns > FORGET_S * 1_000_000_000:
                found = _Failures()
            self._failures[name] = found
            found.count += 1
            found.at_ns = now_ns
            if found.count >= failures_max:
                ban_s = min(BAN_S_MAX, BAN_S_FIRST * 2 ** min(16, found.count - failures_max))
                found.until_ns = now_ns + ban_s * 1_000_000_000
        while len(self._failures) > ENTRIES_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, secret: str, address: str | None) -> None:
        """A good key clears its own count; the address's stays, or a guesser would log in between."""
        name, _ = _names(secret, address)[0]
        self._failures.pop(name, None)

    def __len__(self) -> int:
        return len(self._failures)

    def _left_ns(self, name: bytes, now_ns: int) -> int:
        found = self._failures.get(name)
        return max(0, found.until_ns - now_ns) if found is not None else 0


def _names(secret: str, address: str | None) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    place = (address or "").encode()
    digest = hashlib.blake2b(secret.encode("utf-8", "replace"), digest_size=16, key=b"mdds bad keys").digest()
    return (digest + place, SECRET_FAILURES_MAX), (place, ADDRESS_FAILURES_MAX)
