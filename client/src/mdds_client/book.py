"""A local view of one symbol's order book, kept from the deltas of `book` or from the images of `depth`."""

from __future__ import annotations

from decimal import Decimal

from mdds_client.level_book import Applied, LevelBook
from mdds_client.records import BookUpdate, Depth, Level, Number

MAIN_BOARD = "G1"


class Book:
    """The book of one board (of the board that spoke last, with `board` None). Reading is safe from any thread: an
    update replaces each side as a whole."""

    def __init__(self, symbol: str, *, board: str | None = MAIN_BOARD, origin: str | None = None) -> None:
        self.symbol = symbol
        self.board = board
        self.origin = origin
        self.updates = 0
        self.gaps = 0  # times that the deltas broke off and a snapshot was needed
        self.bad_checksums = 0
        self.checked = 0  # records whose checksum was right
        self.record: Depth | BookUpdate | None = None  # the last one applied
        self.broken: str | None = None  # why the levels cannot be trusted until the next snapshot
        self._epoch: str | None = None
        self._n = 0  # of the stream, over all boards
        self._boards: dict[str | None, LevelBook] = {}
        self._bids: tuple[Level, ...] = ()
        self._offers: tuple[Level, ...] = ()

    def apply(self, record: Depth | BookUpdate) -> bool:
        """Take a record; False when it changed nothing here. `broken` says whether it showed a gap."""
        if record.symbol != self.symbol or record.job != self.origin:
            return False
        if isinstance(record, BookUpdate):
            return self._apply_update(record)
        held = self.record
        old = held is not None and held.epoch == record.epoch and record.n <= held.n
        if not self._is_ours(record) or (old and not self._is_renumbered(record, self.n)):
            return False
        self._show(record, record.bids, record.offers)
        return True

    @property
    def image(self) -> Depth | None:
        """The last image, on a book that is kept from `depth`."""
        return self.record if isinstance(self.record, Depth) else None

    @property
    def bids(self) -> tuple[Level, ...]:
        """Best first; empty before the first record."""
        return self._bids

    @property
    def offers(self) -> tuple[Level, ...]:
        return self._offers

    @property
    def best_bid(self) -> Level | None:
        return next(iter(self.bids), None)

    @property
    def best_offer(self) -> Level | None:
        return next(iter(self.offers), None)

    @property
    def spread(self) -> Number | None:
        """Best offer less best bid; None while a side is empty."""
        bid, offer = self.best_bid, self.best_offer
        return None if bid is None or offer is None else _difference(offer.price, bid.price)

    @property
    def n(self) -> int:
        """The number of the last record applied; 0 before the first."""
        return self.record.n if self.record is not None else 0

    @property
    def last_update(self) -> str | None:
        """Exchange time of the last record (ISO, UTC)."""
        return self.record.exchange_time if self.record is not None else None

    @property
    def received_ns(self) -> int | None:
        """When the service received it, ns since 1970."""
        return self.record.received_ns if self.record is not None else None

    # --------------------------------------------------------------------------------------------- the book rule
    def _apply_update(self, record: BookUpdate) -> bool:
        is_snapshot = record.kind == "snap"
        if record.epoch == self._epoch and self._is_renumbered(record, self._n):
            self._epoch = None
        if not is_snapshot and record.epoch == self._epoch and record.n <= self._n:
            return False
        if is_snapshot:
            self._take_snapshot(record)
        elif self.broken is None and not self._follows(record):
            self._break(f"n {record.n} of epoch {record.epoch} after {self._n} of {self._epoch}")
        if self.broken is not None and not is_snapshot:
            return False  # until the snapshot that it needs
        self._n = max(self._n, record.n)
        board = self._boards.setdefault(record.board, LevelBook())
        if not is_snapshot and not board.n:
            board.begin(record.epoch, 0)  # the board's first record
        outcome = board.apply(record)
        if outcome is Applied.BAD_CHECKSUM:
            self.bad_checksums += 1
            self._break(f"the checksum of n {record.n} differs")
        elif outcome is Applied.GAP:
            self._break(f"board {record.board} has no snapshot at n {record.n}")
        if outcome is not Applied.NEW:
            return False
        self.checked += record.checksum is not None
        if is_snapshot and all(one.whole for one in self._boards.values()):
            self.broken = None
        if not self._is_ours(record):
            return False
        self._show(record, board.bids, board.offers)
        return True

    def _is_renumbered(self, record: Depth | BookUpdate, number: int) -> bool:
        """Whether a low number is no repetition: its message was received later than the one of the high number. Then
        the service lost its count and began again."""
        received_ns = record.received_ns
        return record.n < number and received_ns is not None and received_ns > (self.received_ns or received_ns)

    def _take_snapshot(self, record: BookUpdate) -> None:
        if record.epoch != self._epoch:
            self._epoch, self._n = record.epoch, 0
            self._boards.clear()
        elif record.n > self._n + 1:  # deltas were left out: the other boards wait for their snapshots
            for board in self._boards.values():
                board.forget()

    def _follows(self, record: BookUpdate) -> bool:
        """Whether nothing was left out before a delta."""
        before = record.get("pn")
        before = before if isinstance(before, int) else record.n - 1
        return record.epoch == self._epoch and before <= self._n

    def _break(self, why: str) -> None:
        self.broken = why
        self.gaps += 1
        for board in self._boards.values():
            board.forget()

    def _is_ours(self, record: Depth | BookUpdate) -> bool:
        return self.board is None or record.board is None or record.board == self.board

    def _show(self, record: Depth | BookUpdate, bids: tuple[Level, ...], offers: tuple[Level, ...]) -> None:
        self._bids, self._offers, self.record = bids, offers, record
        self.updates += 1

    def __repr__(self) -> str:
        bid, offer = self.best_bid, self.best_offer
        return (
            f"Book({self.symbol}: {bid.quantity if bid else '-'} @ {bid.price if bid else '-'}"
            f" | {offer.price if offer else '-'} @ {offer.quantity if offer else '-'})"
        )


def _difference(left: Number, right: Number) -> Number:
    """Exact for Decimal and int, and without the dust of binary fractions for float."""
    if isinstance(left, float) or isinstance(right, float):
        return float(Decimal(str(left)) - Decimal(str(right)))
    return left - right
