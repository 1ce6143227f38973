"""The hub: who gets what, at which level, and the last images."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from subscriptions.gateway.following import Member, stream_name
from subscriptions.gateway.heads import HEAD, cut_depth, stream_key
from subscriptions.gateway.hub import Hub
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.stream import IMAGES_MAX
from subscriptions.gateway.views import View
from tests.gateway import cast


def follow(hub: Hub, name: str, channel: str, symbol: str, *, origin: str = "live", level: int = 0) -> Outbox:
    member = hub.members.get(name)
    if member is None:
        member = Member(name, Outbox(1_000_000), lambda origin, channel, stream: 0)
        hub.add_member(member)
    hub.join(name, origin, symbol, view=View(channel, level))
    return member.outbox


def test_records_go_to_the_members_of_their_stream_and_level_only() -> None:
    hub = Hub()
    fpt, five, vnm = (
        follow(hub, "a", "depth", "FPT"), follow(hub, "b", "depth", "FPT", level=5), follow(hub, "c", "depth", "VNM"),
    )  # fmt: skip
    line = cast.depth("FPT", 1)
    assert hub.publish(b"\n".join([line, cast.trade("FPT", 1), cast.depth("VNM", 1)])) == 3
    assert (fpt.pending, five.pending, vnm.pending) == ([line], [cut_depth(line, 5)], [cast.depth("VNM", 1)])
    hub.leave("a", stream_name("live", stream_key("depth", "FPT")))
    hub.remove_member("b")
    hub.publish(cast.depth("FPT", 2))
    assert (len(fpt.pending), len(five.pending), hub.delivered) == (1, 1, 3)


def test_a_level_is_cut_once_for_all_its_members() -> None:
    hub = Hub()
    boxes = [follow(hub, str(number), "depth", "FPT", level=3) for number in range(3)]
    hub.publish(cast.depth("FPT", 1))
    assert boxes[0].pending[0] is boxes[1].pending[0] is boxes[2].pending[0]


def test_last_images_one_a_board_until_the_epoch_changes() -> None:
    hub = Hub()
    key = stream_key("depth", "FPT")
    first, other, second = cast.depth("FPT", 1), cast.depth("FPT", 2, bd="G4"), cast.depth("FPT", 3, mt="W")
    hub.publish(b"\n".join([first, other, second]))
    assert hub.images("live", key) == [other, second]  # by age: the newest is read last
    room, flows = cast.record("foreign", "FPT", 1, mt="MF"), cast.record("foreign", "FPT", 2, mt="MT")
    hub.publish(b"\n".join([room, flows]))
    assert hub.images("live", stream_key("foreign", "FPT")) == [room, flows]  # one does not replace the other
    assert hub.images("replay:1", key) == []
    renewed = cast.depth("FPT", 1, ep="20261121-1")
    hub.publish(renewed)
    assert hub.images("live", key) == [renewed]
    hub.publish(cast.trade("FPT", 1))
    assert hub.images("live", stream_key("trade", "FPT")) == []
    for number in range(IMAGES_MAX + 5):
        hub.publish(cast.depth("FPT", number, bd=f"B{number}", ep="20261121-1"))
    assert len(hub.images("live", key)) == IMAGES_MAX


def test_a_member_that_lost_images_gets_the_last_ones_again() -> None:
    hub = Hub()
    box = follow(hub, "a", "depth", "FPT", level=1)
    hub.publish(cast.depth("FPT", 1) + b"\n" + cast.depth("FPT", 2))
    box.pending.clear()
    box.lost.add(("live", stream_key("depth", "FPT")))
    box.lost.add(("live", stream_key("depth", "VNM")))  # no longer followed
    hub.restore(hub.members["a"], now_ns=1)
    assert (box.pending, box.lost) == ([cut_depth(cast.depth("FPT", 2), 1)], set())


def test_a_replay_that_nobody_follows_is_not_kept() -> None:
    hub = Hub()
    box = follow(hub, "a", "depth", "FPT", origin="replay:1")
    hub.publish(cast.depth("FPT", 1, job="replay:1"), "replay:1")
    hub.publish(cast.depth("FPT", 1, job="replay:2"), "replay:2")
    hub.publish(cast.depth("FPT", 9))
    assert (len(box.pending), hub.unheard) == (1, 1)
    hub.remove_member("a")
    assert list(hub.origins) == ["live"]
    assert "FPT" in hub.symbols


@given(levels=st.integers(0, 12), level=st.integers(1, 10), empty_side=st.sampled_from(["", "b", "a"]))
def test_a_cut_image_is_the_image_with_fewer_levels(levels: int, level: int, empty_side: str) -> None:
    record = json.loads(cast.depth("FPT", 1, levels))
    if empty_side:
        record[empty_side] = []
    line = json.dumps(record, separators=(",", ":")).encode()
    assert json.loads(cut_depth(line, level)) == record | {"b": record["b"][:level], "a": record["a"][:level]}
    if levels <= level:
        assert cut_depth(line, level) is line


def test_heads_of_records() -> None:
    found = HEAD.match(
        b'{"ch":"status","s":"feed:HSX","n":7,"ep":"e-1","rx":1,"q":null,"m":null,"bd":null,"mt":"feed","x":1}'
    )
    assert found is not None
    assert found.groups() == (
        b'{"ch":"status","s":"feed:HSX"', b"status", b"feed:HSX", b"7", b"e-1", None, b"null", None, None, b"feed",
    )  # fmt: skip
    assert HEAD.match(b'{"s":"FPT","ch":"trade","n":1}') is None
