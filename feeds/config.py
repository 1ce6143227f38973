"""What the workers are told of a feed: frozen values, made from rows at the edge.  [pure]"""

import ipaddress
from dataclasses import dataclass

from feeds.krx.calendar import NO_CALENDAR, TradingCalendar

# MarketID 30001: HOSE stock, bond, repo; HNX stock, government bond, derivatives, UPCoM, corporate bond.
MARKETS = ("STO", "BDO", "RPO", "STX", "BDX", "DVX", "UPX", "HCX")
LINE_NAMES = ("A", "B")


@dataclass(frozen=True, slots=True)
class LineConfig:
    """One of a feed's two equal copies: a multicast group, or a plain UDP address, with its port."""

    name: str
    group: str
    port: int
    source: str | None = None  # source-specific multicast when given
    interface: str = "0.0.0.0"  # address of the interface to join on; 0.0.0.0 lets the system choose

    @property
    def multicast(self) -> bool:
        return ipaddress.IPv4Address(self.group).is_multicast


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """One exchange's sequenced stream. `id` is the feed id of the block header."""

    id: int
    name: str
    exchange: str
    markets: tuple[str, ...]
    lines: tuple[LineConfig, ...]
    partitions: int = 4
    gap_wait_ns_max: int = 200_000_000
    gap_messages_max: int = 1_000
    receive_buffer_bytes: int = 200 << 20
    line_silent_ns_max: int = 3_000_000_000
    line_down_ns_max: int = 10_000_000_000
    calendar: TradingCalendar = NO_CALENDAR


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentDefinition:
    """What a `35=d` message says of one symbol on one board. Prices are decimal text as on the wire, or None."""

    isin: str
    ticker: str
    market: str
    board: str
    name: str = ""
    english_name: str = ""
    reference: str | None = None
    ceiling: str | None = None
    floor: str | None = None
    lot: str | None = None
