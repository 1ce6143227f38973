"""Frames shared by everybody who waits for the same records: the same bytes as a frame made for one alone."""

from __future__ import annotations

import pytest
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from subscriptions.gateway.batches import MISSES_MAX, Batches, framed
from subscriptions.gateway.encodings import Frames, JsonFrames, PackedFrames, pack
from subscriptions.gateway.outbox import FRAME_BYTES_MAX, PLAIN_RECORDS_MAX, Outbox


def read(frame: bytes) -> tuple[Opcode, bytes]:
    """What a client reads: exactly one frame."""
    client = Protocol(side=CLIENT, max_size=None)
    client.receive_data(frame)
    [found] = client.events_received()
    return found.opcode, bytes(found.data)


@pytest.mark.parametrize("size", [1, 122, 123, 124, 125, 65_532, 65_533, 65_534, 200_000])
def test_a_frame_is_what_its_parts_say(size: int) -> None:
    items = [b"x" * (size // 2), b"y" * (size - size // 2)]
    assert read(framed(items, JsonFrames)) == (Opcode.TEXT, JsonFrames.records(items))
    packed = [pack(b'{"a":1}')] * size
    assert read(framed(packed, PackedFrames)) == (Opcode.BINARY, PackedFrames.records(packed))


@pytest.mark.parametrize("frames", [JsonFrames, PackedFrames])
def test_the_same_records_are_one_frame_object(frames: Frames) -> None:
    batches, records = Batches(), [b"one", b"two", b"three"]
    first = batches.frame(list(records), frames)
    assert batches.frame(list(records), frames) is first


def test_other_records_between_the_same_ends_are_another_frame() -> None:
    batches = Batches()
    batches.frame([b"one", b"two", b"three"], JsonFrames)
    assert read(batches.frame([b"one", b"2", b"three"], JsonFrames))[1] == b"[one,2,three]"


def test_a_batch_emptied_after_its_frame_was_made_is_still_shared() -> None:
    batches, mine = Batches(), [b"one", b"two"]
    theirs = list(mine)
    first = batches.frame(mine, JsonFrames)
    mine.clear()
    assert batches.frame(theirs, JsonFrames) is first


def test_where_nobody_shares_looking_ends_and_frames_stay_right() -> None:
    batches = Batches()
    for number in range(3 * MISSES_MAX):
        assert read(batches.frame([b"%d" % number], JsonFrames))[1] == b"[%d]" % number


def test_an_outbox_gives_a_shared_frame_only_of_plain_records() -> None:
    outbox = Outbox(1_000_000)
    assert outbox.take_framed(Batches(), 1) is None
    outbox.pending += [b"one", b"two"]
    frame = outbox.take_framed(Batches(), 1)
    assert frame is not None
    assert read(frame)[1] == b"[one,two]"
    assert (outbox.delivered, outbox.sent_bytes, outbox.pending) == (2, len(frame), [])
    outbox.pending.append(b"three")
    outbox.put_control(b"{}")
    assert outbox.take_framed(Batches(), 2) is None
    assert outbox.take(2) == [b"[three]", b"{}"]


def test_an_outbox_with_more_than_a_frame_is_taken_piece_by_piece() -> None:
    outbox = Outbox(10_000_000)
    records = [b"x" * 2_000] * (PLAIN_RECORDS_MAX + 1)
    outbox.pending += records
    assert outbox.take_framed(Batches(), 1) is None
    assert outbox.pending == records
    assert max(map(len, outbox.take(1))) <= FRAME_BYTES_MAX
