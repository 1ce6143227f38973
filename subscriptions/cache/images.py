"""The last image of every stream as values: what is new since the last write, and which of two is the newer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from subscriptions.gateway.heads import HEAD, image_identity, stream_key
from subscriptions.protocol import CHANNELS_OF_IMAGES

STREAMS_MAX = 200_000  # as many as a gateway knows; images of further streams are counted in `refused` and not kept
IMAGES_PER_STREAM_MAX = 64  # as in the hub; past it the oldest identity's image goes

_KEPT = frozenset(channel.encode() for channel in CHANNELS_OF_IMAGES | {"status"})


class Image(NamedTuple):
    """One record that stands for its identity (board, MsgType) until a newer one comes."""

    identity: bytes
    number: int
    line: bytes


@dataclass(slots=True)
class StreamImages:
    """Images of one stream, of one epoch, by identity."""

    epoch: int
    images: dict[bytes, Image] = field(default_factory=dict)


def epoch_of(text: bytes) -> int:
    """`20261120-1` as a number that rises with every epoch; 0 for what is none."""
    date, _, count = text.partition(b"-")
    return int(date) * 100 + int(count or 0) if date.isdigit() and (not count or count.isdigit()) else 0


def identity_text(identity: tuple[bytes | None, bytes]) -> bytes:
    """`G1|` or `G1|MF`: an identity as the name of a field."""
    return (identity[0] or b"") + b"|" + identity[1]


def merge(into: dict[bytes, StreamImages], key: bytes, image: Image, *, epoch: int) -> bool:
    """Keep `image` unless a newer one, by (epoch, n), is there. False: it was not newer."""
    stream = into.get(key)
    if stream is None or epoch > stream.epoch:
        into[key] = StreamImages(epoch, {image.identity: image})
        return True
    if epoch < stream.epoch:
        return False
    present = stream.images.get(image.identity)
    if present is not None and image.number <= present.number:
        return False
    stream.images.pop(image.identity, None)
    if len(stream.images) >= IMAGES_PER_STREAM_MAX:
        del stream.images[next(iter(stream.images))]
    stream.images[image.identity] = image
    return True


class ImageBook:
    """Every image, and which of them changed since `take`. Memory is bounded by STREAMS_MAX, not by time."""

    def __init__(self) -> None:
        self.streams: dict[bytes, StreamImages] = {}
        self.changed: dict[bytes, StreamImages] = {}
        self.unreadable = self.refused = self.older = 0

    def note(self, body: bytes) -> None:
        """Take the images among the records of one live PARSED message."""
        for line in body.split(b"\n"):
            head = HEAD.match(line)
            if head is None:
                self.unreadable += bool(line)
                continue
            if head[2] not in _KEPT:
                continue
            key, epoch = head[1], epoch_of(head[5])
            if key not in self.streams and len(self.streams) >= STREAMS_MAX:
                self.refused += 1
                continue
            image = Image(identity_text(image_identity(head)), int(head[4]), line)
            if merge(self.streams, key, image, epoch=epoch):
                merge(self.changed, key, image, epoch=epoch)
            else:
                self.older += 1

    def take(self) -> dict[bytes, StreamImages]:
        """What changed since the last call."""
        changed, self.changed = self.changed, {}
        return changed

    def give_back(self, batch: dict[bytes, StreamImages]) -> None:
        """A write failed: its images wait again, except where newer ones came meanwhile."""
        for key, stream in batch.items():
            for image in stream.images.values():
                merge(self.changed, key, image, epoch=stream.epoch)


def lines_of(images: Iterable[Image]) -> list[bytes]:
    """The lines, oldest first, as a subscriber reads them."""
    return [image.line for image in sorted(images, key=lambda image: image.number)]


def key_of(channel: str, symbol: str) -> bytes:
    """The stream's key."""
    return stream_key(channel, symbol)
