"""The outbox as a transcript: what goes in, what comes out, and the ladder of a client that does not read."""

from __future__ import annotations

import json
from typing import Any

from subscriptions.gateway import outbox as module
from subscriptions.gateway.outbox import Outbox
from tests.gateway import cast

SECOND = 1_000_000_000


def frames(box: Outbox, now_ns: int = 1) -> list[Any]:
    return [json.loads(frame) for frame in box.take(now_ns)]


def brief(found: list[Any]) -> list[Any]:
    """Records as (channel, symbol, n); notices as their code, or what was skipped."""
    return [
        [(one["ch"], one["s"], one["n"]) for one in frame]
        if isinstance(frame, list)
        else (frame["code"], frame["s"], frame["from"], frame["to"])
        if frame.get("code") == "SKIPPED"
        else frame.get("code", frame)
        for frame in found
    ]


def test_records_are_joined_and_controls_keep_their_place() -> None:
    box = Outbox(10_000)
    box.pending.append(cast.trade("FPT", 1))
    box.pending.append(cast.trade("FPT", 2))
    box.put_control(b'{"t":"sub"}')
    box.pending.append(cast.trade("FPT", 3))
    assert brief(frames(box)) == [
        [("trade", "FPT", 1), ("trade", "FPT", 2)], {"t": "sub"}, [("trade", "FPT", 3)],
    ]  # fmt: skip
    assert (box.delivered, frames(box)) == (3, [])


def test_a_long_queue_goes_in_frames_of_a_bounded_size() -> None:
    box = Outbox(10_000_000)
    line = cast.trade("FPT", 1, pad="x" * 5_000)
    box.pending.extend([line] * 300)
    sizes = []
    while taken := box.take(1):
        sizes += [len(frame) for frame in taken]
    assert max(sizes) <= module.FRAME_BYTES_MAX + 3
    assert (box.delivered, len(sizes), box.queued_bytes) == (300, 6, 0)


def padded(channel: str, symbol: str, number: int, **members: Any) -> bytes:
    return cast.record(channel, symbol, number, pad="x" * 800, **members)


def test_at_half_the_bound_images_are_conflated_to_the_newest_of_each_identity() -> None:
    box = Outbox(20_000, sid_of=lambda origin, key: 12)
    for number in range(1, 7):
        box.pending.append(padded("depth", "FPT", number))
        box.pending.append(padded("depth", "FPT", number, bd="G4"))
    assert box.settle(SECOND) is False
    assert (box.slow, box.conflated) == (True, 10)
    found = frames(box, 2 * SECOND)
    assert found[0] == {"t": "notice", "code": "SLOW_START", "sid": 12, "queued": 12 * len(padded("depth", "FPT", 1))
                        + 12, "lag_ms": 0, "action": "conflate"}  # fmt: skip
    assert brief(found[1:]) == [[("depth", "FPT", 6), ("depth", "FPT", 6)], "SLOW_END"]
    assert box.delivered + box.conflated == 12


def test_at_three_quarters_events_are_skipped_with_exact_ranges() -> None:
    box = Outbox(20_000)
    for number in range(5, 15):
        box.pending.append(padded("trade", "FPT", number))
        box.pending.append(padded("trade", "VNM", 100 + number))
    assert box.settle(1) is False
    for number in range(15, 33):  # and once more before the client reads: the range grows
        box.pending.append(padded("trade", "FPT", number))
    assert box.settle(2) is False
    box.pending.append(padded("trade", "FPT", 33))
    assert brief(frames(box)) == [
        "SLOW_START", ("SKIPPED", "FPT", 5, 32), ("SKIPPED", "VNM", 105, 114), [("trade", "FPT", 33)], "SLOW_END",
    ]  # fmt: skip
    assert (box.delivered, box.skipped) == (1, 38)


def test_at_the_bound_images_go_too_and_are_named_for_a_restore() -> None:
    box = Outbox(20_000)
    for number in range(40):
        box.pending.append(padded("depth", f"S{number:02d}", 1))
    assert box.settle(1) is False
    assert (box.pending, box.conflated, len(box.lost)) == ([], 40, 40)
    assert brief(frames(box)) == ["SLOW_START", "SLOW_END"]


def test_replay_images_are_skipped_with_ranges_not_conflated() -> None:
    box = Outbox(20_000)
    for number in range(1, 31):
        box.pending.append(padded("depth", "FPT", number, job="replay:12"))
    assert box.settle(1) is False
    assert brief(frames(box))[:2] == ["SLOW_START", ("SKIPPED", "FPT", 1, 30)]
    assert (box.conflated, box.skipped, box.lost) == (0, 30, set())


def test_ten_seconds_past_the_bound_and_the_client_is_cut() -> None:
    box = Outbox(20_000)
    cut = []
    for second in range(13):
        box.pending.extend(padded("trade", "FPT", 30 * second + n) for n in range(30))
        cut.append(box.settle(second * SECOND + 1))
        assert box.measure() < 20_000
    assert cut == [False] * 10 + [True] * 3


def test_a_client_that_catches_up_in_time_starts_afresh() -> None:
    box = Outbox(20_000)
    for second in range(30):
        box.pending.extend(padded("trade", "FPT", 30 * second + n) for n in range(30))
        assert box.settle(second * SECOND + 1) is False
        if second % 9 == 8:
            assert brief(frames(box))[-1] == "SLOW_END"


def test_disconnect_is_never_skipped_it_ends() -> None:
    box = Outbox(20_000)
    box.policies[("live", b'{"ch":"trade","s":"FPT"')] = "disconnect"
    box.pending.extend(padded("trade", "FPT", n) for n in range(16))
    box.pending.extend(padded("trade", "VNM", n) for n in range(2))
    assert box.settle(1) is False
    assert (len(box.pending), box.skipped) == (16, 2)
    box.pending.extend(padded("trade", "FPT", n) for n in range(16, 24))
    assert box.settle(2) is True


def test_replies_to_a_client_that_asks_and_never_reads_are_bounded() -> None:
    box = Outbox(10_000_000)
    for _ in range(300):
        box.put_control(b"x" * 1_000)
    assert box.settle(1) is True


def test_discard_keeps_only_what_is_said() -> None:
    box = Outbox(20_000)
    box.pending.append(cast.trade("FPT", 1))
    box.put_control(b'{"t":"error"}')
    box.discard()
    assert (frames(box), box.discarded, box.delivered) == ([{"t": "error"}], 1, 0)
