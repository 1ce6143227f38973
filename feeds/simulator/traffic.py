"""Chooses what happens next on one market, by its phase and its random numbers."""

from collections.abc import Callable, Iterator

from feeds.simulator import bulletins
from feeds.simulator.market import SimulatedMarket
from feeds.simulator.message import Message
from feeds.simulator.security import Security

PHASES = ("closed", "auction", "continuous", "pause", "post_close", "put_through")

_TRADE_SHARE = 0.2
_MINOR_SHARE = 0.04
_AUCTION_EXPECTED_SHARE = 0.6
_RECOVERY_ROUND_S = 30
"""Every security's W comes once in this time."""
_INTERRUPTED_STEPS = 6
"""Indicative prices of a symbol in a volatility interruption before it trades on."""


def _nothing() -> None:
    """What happens in a phase without activity."""


class Traffic:
    """The activity of one market.

    `next()` makes one message, or None while nothing may happen: it is the current phase's act itself.
    """

    def __init__(self, market: SimulatedMarket, *, unrouted: bool) -> None:
        self.market = market
        self.phase = "closed"
        self._unrouted = unrouted
        self._rng = market.rng
        self._owed: list[Security] = []
        """Securities whose book changed by a trade: their book image is next. At most one."""
        self._interrupted: Security | None = None
        self._interrupted_left = 0
        self._recovery_at = 0
        self._by_phase: dict[str, Callable[[], Message | None]] = {
            "auction": self._auction, "continuous": self._continuous,
            "post_close": self._post_close, "put_through": self._put_through,
        }  # fmt: skip
        self.next: Callable[[], Message | None] = _nothing
        self._minor = self._minor_acts()

    def start_phase(self, phase: str) -> None:
        if phase not in PHASES:
            raise ValueError(f"one of {', '.join(PHASES)} expected, found {phase!r}")
        self.phase = phase
        self.next = self._by_phase.get(phase, _nothing)
        self._owed.clear()
        self._interrupted = None
        if phase == "auction":
            for security in self.market.securities:
                security.start_auction()

    def each_second(self) -> Iterator[Message]:
        """The index and a slice of the recovery snapshots; nothing while the market is closed."""
        if self.phase == "closed":
            return
        market = self.market
        yield from bulletins.indices(market)
        securities = market.securities
        for _ in range(-(-len(securities) // _RECOVERY_ROUND_S)):
            yield market.recovery(securities[self._recovery_at % len(securities)])
            self._recovery_at += 1
        if self.phase != "pause":
            yield bulletins.foreign_trading(market, market.pick())
            if self._unrouted:
                yield bulletins.top_members(market, market.pick())

    def _continuous(self) -> Message:
        market = self.market
        if self._owed:
            return market.book(self._owed.pop(), "G1")
        chance = self._rng.random()
        if chance < _MINOR_SHARE:
            return self._minor[int(self._rng.random() * len(self._minor))]()
        security = market.pick()
        if security is self._interrupted:
            return self._interruption_step()
        if chance < _MINOR_SHARE + _TRADE_SHARE:
            traded = security.book("G1").trade(buy=self._rng.random() < 0.5)
            if traded is not None:
                self._owed.append(security)
                return market.trade(security, "G1", traded)
        security.book("G1").rest()
        return market.book(security, "G1")

    def _auction(self) -> Message:
        security = self.market.pick()
        if self._rng.random() < _AUCTION_EXPECTED_SHARE:
            return self.market.expected(security)
        security.book("G1").rest()
        return self.market.book(security, "G1")

    def _post_close(self) -> Message:
        """Board G3: trades at the closing price only."""
        security = self.market.pick()
        lots = 1 + int(self._rng.random() * 20)
        return self.market.trade(security, "G3", (security.last_place(), lots * self.market.rules.lot))

    def _put_through(self) -> Message | None:
        """Board T1: few, large, anywhere in the band."""
        if "T1" not in self.market.rules.boards or self._rng.random() > 0.1:
            return None
        security = self.market.pick()
        place = int(self._rng.random() * len(security.grid))
        return self.market.trade(security, "T1", (place, 20_000 + int(self._rng.random() * 500) * 1_000))

    def _minor_acts(self) -> list[Callable[[], Message]]:
        """Acts beside the main board's books and trades, each as often as it stands in the list."""
        market = self.market
        acts: list[Callable[[], Message]] = [
            self._odd_lots, self._odd_lots, self._odd_lots,
            lambda: bulletins.foreign_room(market, market.pick()),
            lambda: bulletins.foreign_room(market, market.pick()),
            lambda: bulletins.information(market, market.pick()),
            self._interruption_step, self._interruption_step,
        ]  # fmt: skip
        if market.name == "DVX":
            acts.append(lambda: bulletins.limit_expansion(market, market.pick()))
        return acts

    def _odd_lots(self) -> Message:
        market, security = self.market, self.market.pick()
        if "G4" not in market.rules.boards:
            return self._put_through() or bulletins.foreign_room(market, security)
        book = security.book("G4")
        if self._rng.random() < _TRADE_SHARE:
            traded = book.trade(buy=self._rng.random() < 0.5)
            if traded is not None:
                return market.trade(security, "G4", traded)
        book.rest()
        return market.book(security, "G4")

    def _interruption_step(self) -> Message:
        """A symbol is taken into a periodic auction, its expected price moves some steps, it trades on."""
        market = self.market
        security = self._interrupted
        if security is None:
            self._interrupted = security = market.pick()
            self._interrupted_left = _INTERRUPTED_STEPS
            security.start_auction()
            if self._unrouted and self._rng.random() < 0.5:
                return bulletins.interruption(market, security)
            return market.symbol_status(security, "CC1", "80")
        if self._interrupted_left:
            self._interrupted_left -= 1
            return market.expected(security)
        self._interrupted = None
        return market.symbol_status(security, "CD1", market.trading_session)
