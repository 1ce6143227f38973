"""Makes RAW messages of dead letters again, so that they pass the parser once more after a fix.

The message number 0 says that the RAW message stands outside of its publisher's chain. Whether the message is new is
told by its identity alone: one that has passed meanwhile, on the other line or put in before, is a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from feeds.blocks import FLAG_MESSAGE, Block, decode_block, encode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.config import FeedConfig
from feeds.parser.dead_letter import DeadLetter
from feeds.parser.translator import Rejected, Translator, Unrouted

PUBLISHER = "reinject"
LIVE = "live"


class Refused(NamedTuple):
    """A letter that is not put in again, and why."""

    letter: DeadLetter
    why: str


class Prepared(NamedTuple):
    """The RAW messages of the letters that go in, the letters themselves, and those that do not."""

    messages: list[RawMessage]
    letters: list[DeadLetter]
    refused: list[Refused]


def prepare(
    letters: Iterable[DeadLetter], feeds: Mapping[str, FeedConfig], *, epochs: Mapping[str, int], now_ns: int
) -> Prepared:
    """`epochs` is the epoch each feed's parsers are at. Letters go in the order in which they were received."""
    prepared = Prepared([], [], [])
    translator = Translator()
    for letter in sorted(letters, key=lambda one: one.rx_ns):
        why = _refusal(letter, feeds, epochs=epochs, translator=translator)
        if why:
            prepared.refused.append(Refused(letter, why))
            continue
        prepared.letters.append(letter)
        prepared.messages.extend(_raw(letter, feeds[letter.feed], now_ns))
    return prepared


def _refusal(
    letter: DeadLetter, feeds: Mapping[str, FeedConfig], *, epochs: Mapping[str, int], translator: Translator
) -> str:
    if letter.origin != LIVE:
        return f"it came from {letter.origin}: run that replay again"
    if letter.feed not in feeds:
        return f"feed {letter.feed!r} is not there or disabled"
    current = epochs.get(letter.feed, letter.epoch)
    if letter.epoch != current:
        return f"its epoch {letter.epoch} is over, the feed is at {current}: replay its time range instead"
    try:
        translator.general(letter.data)
    except Rejected as error:
        return f"the parser still refuses it: {error.reason} at byte {error.offset}: {error.text}"
    except Unrouted as error:
        return f"type {error.msg_type} has no router"
    return ""


def _raw(letter: DeadLetter, feed: FeedConfig, now_ns: int) -> list[RawMessage]:
    """A stage of its own finds the partition. What it says of the stream (a late start) is not true of the feed, so
    nothing but the message itself goes on."""
    stage = RawStage(feed, LIVE, PUBLISHER)
    entry = (letter.rx_ns, letter.line, FLAG_MESSAGE, letter.data)
    stage.push(Block(feed.id, letter.epoch, letter.capture_seq, [entry]))
    stage.finish()
    messages = []
    for raw in stage.drain():
        entries = [one for one in decode_block(raw.body)[0].entries if one[2] == FLAG_MESSAGE]
        if entries:
            body = encode_block(entries, feed_id=feed.id, epoch=letter.epoch, first_seq=letter.capture_seq)
            messages.append(RawMessage(raw.partition, body, {**raw.headers, "no": 0, "t_rx": now_ns}))
    return messages
