"""The truth log: every message the simulator made and what became of it on each line, in one binary file.

The reader gives back what the writer was given; with it a test computes the records and gaps a client must see. Layout:
the magic line, one JSON line about the run, then records. A name record gives a number to a feed, market, stream or
message type when it is first used; a message record holds the rest. A torn last record, left by a killed simulator, is
where the reader stops.
"""

import json
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from feeds.simulator.message import Message

MAGIC = b"mdds truth 1\n"
DIGEST_BYTES = 8
BUFFER_BYTES_MAX = 256 * 1024
"""At the bound the buffer is written to the file: the writer waits for the disk, nothing is left out."""

_NAME = struct.Struct("<BBB")
"""kind 'N', number, length; then the name."""
_MESSAGE = struct.Struct("<BQQBBBBI12sBBBH")
"""kind 'M', datagram number, sent at (ns), feed, market, stream, type, sequence, ISIN, fate A, fate B, form, length."""
_KIND_NAME, _KIND_MESSAGE = ord("N"), ord("M")
_FORM_BYTES, _FORM_DIGEST = 0, 1


class BadTruth(ValueError):
    """The file is not a truth log."""


class TruthMessage(NamedTuple):
    datagram: int
    """Number of the datagram on its feed, from 1; 0 for a heartbeat, which is not counted."""
    at_ns: int
    feed: str
    market: str
    stream: str
    sequence: int
    msg_type: str
    isin: str
    fates: tuple[int, int]
    """Flags of faults.py for line A and line B; NO_LINE where the feed has no such line."""
    digest: bytes
    data: bytes | None
    """The message itself, where the log keeps bytes."""


def digest_of(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


class TruthWriter:
    """Appends to an open binary file. `keep_bytes=False` keeps digests only: 53 bytes a message."""

    def __init__(self, file: BinaryIO, *, run: dict[str, object], keep_bytes: bool = True) -> None:
        self._file = file
        self._keep_bytes = keep_bytes
        self._names: dict[str, int] = {}
        self._buffer = bytearray(MAGIC + json.dumps(run).encode() + b"\n")

    def write(self, message: Message, *, datagram: int, at_ns: int, fates: tuple[int, int]) -> None:
        names = self._names
        try:
            feed, market = names[message.feed], names[message.market]
            stream, msg_type = names[message.stream], names[message.msg_type]
        except KeyError:
            self._name_all(message)
            self.write(message, datagram=datagram, at_ns=at_ns, fates=fates)
            return
        data, form = (message.data, _FORM_BYTES) if self._keep_bytes else (digest_of(message.data), _FORM_DIGEST)
        self._buffer += _MESSAGE.pack(
            _KIND_MESSAGE, datagram, at_ns, feed, market, stream, msg_type, message.sequence,
            message.isin.encode("ascii"), fates[0], fates[1], form, len(data),
        )  # fmt: skip
        self._buffer += data
        if len(self._buffer) >= BUFFER_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        self._file.write(self._buffer)
        self._file.flush()
        self._buffer.clear()

    def _name_all(self, message: Message) -> None:
        for name in (message.feed, message.market, message.stream, message.msg_type):
            if name not in self._names:
                number = len(self._names)
                if number > 255:
                    raise BadTruth(f"at most 256 names of feeds, markets, streams and types, {name!r} is one more")
                self._names[name] = number
                encoded = name.encode()
                self._buffer += _NAME.pack(_KIND_NAME, number, len(encoded)) + encoded


class TruthReader:
    """Reads a whole truth log; iterate it for its messages, in the order they were made."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        if not content.startswith(MAGIC):
            raise BadTruth(f"{path}: a truth log starts with {MAGIC!r}, found {content[: len(MAGIC)]!r}")
        end = content.find(b"\n", len(MAGIC))
        if end < 0:
            raise BadTruth(f"{path}: the line about the run is missing")
        self.run: dict[str, object] = json.loads(content[len(MAGIC) : end])
        self._content = content
        self._start = end + 1

    def __iter__(self) -> Iterator[TruthMessage]:
        content, place, names = self._content, self._start, dict[int, str]()
        while place < len(content):
            kind = content[place]
            record = _NAME if kind == _KIND_NAME else _MESSAGE if kind == _KIND_MESSAGE else None
            if record is None:
                raise BadTruth(f"byte {place}: a record of kind N or M expected, found {kind}")
            if place + record.size > len(content):
                return
            values = record.unpack_from(content, place)
            end = place + record.size + values[-1]
            if end > len(content):
                return
            body = content[place + record.size : end]
            place = end
            if kind == _KIND_NAME:
                names[values[1]] = body.decode()
            else:
                yield _message_of(values, body, names)


def _message_of(values: tuple, body: bytes, names: dict[int, str]) -> TruthMessage:  # type: ignore[type-arg]
    _, datagram, at_ns, feed, market, stream, msg_type, sequence, isin, fate_a, fate_b, form, _ = values
    whole = form == _FORM_BYTES
    return TruthMessage(
        datagram, at_ns, names[feed], names[market], names[stream], sequence, names[msg_type],
        isin.rstrip(b"\0").decode(), (fate_a, fate_b), digest_of(body) if whole else body, body if whole else None,
    )  # fmt: skip
