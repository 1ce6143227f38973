"""What a receive buffer is good for: how long the loop may stall before the kernel drops datagrams.  [pure]

The kernel charges a datagram not with its length but with its truesize: the memory it sits in, bookkeeping included.
So the budget of a line is bytes = rate × stall × truesize. Linux doubles what it is asked for and reports the double;
the reported value is what the truesizes are summed up against.
"""

from __future__ import annotations

from dataclasses import dataclass

PEAK_PER_S = 30_000  # messages a second of one line in the auctions (krx_mdds: ATO and ATC)
# A 500-byte datagram costs 1,280 bytes over loopback and, with the usual half-page receive buffers, 2,304 from a card.
TRUESIZE_BYTES = 2_304


def buffer_bytes(stall_s: float, *, rate_per_s: int = PEAK_PER_S, truesize: int = TRUESIZE_BYTES) -> int:
    """What the kernel must report for a line to survive a stall of `stall_s`."""
    return int(stall_s * rate_per_s * truesize)


@dataclass(frozen=True, slots=True)
class ReceiveBuffer:
    """What the socket was asked for and what the kernel reports (bytes)."""

    asked: int
    got: int

    @property
    def enough(self) -> bool:
        return self.got >= self.asked

    @property
    def datagrams(self) -> int:
        """How many may wait."""
        return self.got // TRUESIZE_BYTES

    def stall_s(self, rate_per_s: int = PEAK_PER_S) -> float:
        """How long nobody may read at that rate."""
        return self.datagrams / rate_per_s

    def describe(self) -> str:
        """For the log: what it got, what that holds, and what to do when it is less than asked for."""
        got = f"receive buffer {self.got // 1024:,} KiB"
        if not self.enough:
            got += f" instead of {self.asked // 1024:,} KiB"
        held = f"{self.datagrams:,} datagrams of {TRUESIZE_BYTES:,} bytes, {self.stall_s():.1f} s at {PEAK_PER_S:,}/s"
        remedy = "" if self.enough else ": run with CAP_NET_ADMIN or raise net.core.rmem_max"
        return f"{got} ({held}){remedy}"
