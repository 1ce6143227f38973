"""Books as the gateway serves them: the parser's records through the hub to subscribers, who hold what they are sent.

Nothing is replaced but the socket: pipeline, hub, variants, outboxes and the JSON frames are the product's.
"""

from __future__ import annotations

import json
from decimal import Decimal

from feeds.blocks import FLAG_MESSAGE, Block
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from mdds_client import Book, BookUpdate
from subscriptions.gateway.layer import GatewaySettings, StreamLayer
from subscriptions.gateway.subscription import RUNNING
from subscriptions.protocol import CHANNELS, Subscribe
from tests.books.reference import Follower, Levels, Row, book_of, row_of
from tests.gateway import cast

EPOCH = 2026112001
Datagram = tuple[str, int, bytes]  # feed, receive time in ns, FIX bytes
BookName = tuple[str, object]  # symbol, board


class Reader:
    """A subscriber to every book at one depth that follows the book rule and nothing else."""

    def __init__(self, *, depth: int) -> None:
        self.depth = depth
        self.followers: dict[str, Follower] = {}
        self.records = 0

    def writable(self) -> bool:
        return True

    def write(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = json.loads(frame, parse_float=Decimal, parse_int=Decimal)
            if isinstance(message, dict):
                assert message["t"] in ("sub", "state"), message
                continue
            for row in message:
                self.take(row)
                self.records += 1

    def take(self, row: Row) -> None:
        self.followers.setdefault(str(row["s"]), Follower()).take_row(row)

    def cut(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed with {code}: {reason}")

    def side(self, name: BookName, side: str) -> Levels:
        return self.followers[name[0]].side(name[1], side)

    def checked(self) -> int:
        return sum(one.checked for one in self.followers.values())


class MergedReader(Reader):
    """A subscriber to conflated books, which the SDK keeps."""

    def __init__(self, *, depth: int) -> None:
        super().__init__(depth=depth)
        self.books: dict[BookName, Book] = {}
        self.heard: dict[str, list[BookUpdate]] = {}  # by symbol: a book is kept from all boards' records

    def take(self, row: Row) -> None:
        symbol = str(row["s"])
        update = BookUpdate({**row, **_whole(row, "n", "pn", "crc", "rx")}, "")
        heard = self.heard.setdefault(symbol, [])
        if (symbol, row["bd"]) not in self.books:
            book = self.books[symbol, row["bd"]] = Book(symbol, board=str(row["bd"]))
            for before in heard:
                book.apply(before)
        heard.append(update)
        for (other, _), book in self.books.items():
            if other == symbol:
                book.apply(update)

    def side(self, name: BookName, side: str) -> Levels:
        book = self.books[name]
        assert book.broken is None
        levels = book.bids if side == "b" else book.offers
        return [(Decimal(str(price)), Decimal(str(quantity))) for price, quantity in levels]

    def checked(self) -> int:
        return sum(book.checked for book in self.books.values())


class Served:
    """A market whose books are followed; `compare` holds every book that changed since the last time."""

    def __init__(self) -> None:
        self.now_ns = 1_795_500_000_000_000_000
        self.layer = StreamLayer(clock_ns=lambda: self.now_ns)
        self.layer.settings = GatewaySettings(outbox_bytes_max=64 << 20)
        self.pipeline = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
        self.readers: list[Reader] = []
        self.latest: dict[BookName, Row] = {}
        self.changed: set[BookName] = set()
        self.images = self.sampled = self._datagrams = 0

    def join(self, reader: Reader, *, conflate_ms: int = 0) -> None:
        """From here on; what is known already it gets as snapshots."""
        seat = self.layer.open_seat(f"stream.{len(self.readers)}", reader)
        seat.session.open(cast.grant(cast.rule(CHANNELS, level=10)))
        seat.session.subscribe(Subscribe(1, "book", ("*",), depth=reader.depth, conflate_ms=conflate_ms))
        self.layer.flush_seat(seat)
        self.readers.append(reader)
        assert not self.latest or seat.session.subscriptions[1].state == RUNNING

    def play(self, datagrams: list[Datagram], *, step_ns: int = 1_000_000_000) -> None:
        """Publish what the parser makes of them as one message; then so much time passes."""
        lines = []
        for feed, rx_ns, data in datagrams:
            self._datagrams += 1
            parsed = self.pipeline.feed(
                Block(1, EPOCH, self._datagrams, [(rx_ns, 0, FLAG_MESSAGE, data)]), "live", feed
            )
            for record in parsed.records:
                if record.startswith('{"ch":"depth"'):
                    row = row_of(record.encode())
                    self.latest[str(row["s"]), row["bd"]] = row
                    self.changed.add((str(row["s"]), row["bd"]))
                    self.images += 1
                lines.append(record.encode())
        self.layer.publish(b"\n".join(lines))
        self.now_ns += step_ns  # every conflation bucket ends
        self.layer.tick()
        self.compare()

    def compare(self) -> None:
        for name in self.changed:
            row = self.latest[name]
            for side in "ba":
                expected = book_of(row, side)
                for reader in self.readers:
                    assert reader.side(name, side) == expected[: reader.depth], (name, row["n"], side, reader.depth)
            self.sampled += 1
        self.changed.clear()


def _whole(row: Row, *names: str) -> dict[str, int]:
    return {name: int(str(row[name])) for name in names if name in row}
