"""Two captures and publishers on one feed into one RAW: what either brings comes once, in order, numbered on."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from feeds.blocks import Block, decode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from tests.feeds.data_path import EPOCH, MS, T0_NS, feed_config
from tests.feeds.wire import book, expected, trade

PARTITIONS = 3
ISINS = tuple(f"VN000000{name}1" for name in ("FPT", "VNM", "HPG", "SSI", "MWG", "VCB"))
OWN = ("gap", "feed", "tape")  # `mt` of records that are no exchange message
Record = dict[str, object]


def day(count: int, first: int = 1) -> list[bytes]:
    """Messages of one stream over several symbols: every third a book, the others trades."""
    make = (trade, trade, book)
    return [make[n % 3](n, isin=ISINS[n * 7 % len(ISINS)]) for n in range(first, first + count)]


class Host:
    """One capture's journal, as its publisher reads it."""

    def __init__(self, name: str, *, offset_ns: int = 0, wait_ms: int = 200) -> None:
        self.stage = RawStage(feed_config(partitions=PARTITIONS, gap_wait_ns_max=wait_ms * MS), "live", name)
        self.stage.paired = True
        self.offset_ns = offset_ns
        self.capture_seq = 1

    def take(self, data: bytes, at_ms: int, *, line: int = 0, epoch: int = EPOCH) -> list[RawMessage]:
        entries = [(T0_NS + at_ms * MS + self.offset_ns, line, 0, data)]
        self.stage.push(Block(7, epoch, self.capture_seq, entries))
        self.capture_seq += 1
        return self.stage.drain()

    def tick(self, at_ms: int) -> list[RawMessage]:
        self.stage.tick(T0_NS + at_ms * MS + self.offset_ns)
        return self.stage.drain()


@dataclass
class Parsers:
    """The queues' readers: each takes its partition's messages in the order in which they are given."""

    records: list[Record] = field(default_factory=list)
    counts: ParserCounts = field(default_factory=ParserCounts)

    def __post_init__(self) -> None:
        tickers: dict[str, str] = {}
        self.pipelines = [Pipeline(n, tickers, translator=Translator(), counts=self.counts) for n in range(PARTITIONS)]

    def take(self, messages: Iterable[RawMessage]) -> None:
        for message in messages:
            parsed = self.pipelines[message.partition].feed(decode_block(message.body)[0], "live", "KRX")
            self.records += [json.loads(record) for record in parsed.records]

    def sequences(self, channel: str) -> list[int]:
        return [int(str(record["q"])) for record in self.records if record["ch"] == channel]

    def gaps(self) -> set[int]:
        found: set[int] = set()
        for record in self.records:
            if record["mt"] == "gap":
                assert record["count"] == record["to"] - record["from"] + 1  # type: ignore[operator]
                found |= set(range(int(str(record["from"])), int(str(record["to"])) + 1))
        return found


def order_faults(records: Sequence[Record]) -> list[str]:
    """Per stream `n` counts on by one, and `q` rises (I7)."""
    faults: list[str] = []
    last: dict[tuple[object, ...], tuple[int, int]] = {}
    for record in records:
        key = (record["ch"], record["s"], record["ep"])
        n, q = int(str(record["n"])), int(str(record["q"] or 0))
        before_n, before_q = last.get(key, (0, -1))
        if n != before_n + 1:
            faults.append(f"{key}: n {n} after {before_n}")
        if record["mt"] not in OWN and q < before_q:
            faults.append(f"{key}: q {q} after {before_q}")
        last[key] = (n, max(q, before_q) if record["mt"] in OWN else q)
    return faults


def expected_of(messages: Iterable[bytes]) -> Counter[tuple[str, int]]:
    """(channel, sequence) of every record that these messages become."""
    found: Counter[tuple[str, int]] = Counter()
    for data in messages:
        sequence = int(data.split(b"\x0134=")[1].split(b"\x01")[0])
        found.update([(ch, sequence) for ch in (("trade", "stats") if b"\x01387=" in data else ("depth",))])
    return found


def received_of(parsers: Parsers) -> Counter[tuple[str, int]]:
    return Counter((str(r["ch"]), int(str(r["q"]))) for r in parsers.records if r["mt"] not in OWN)


def run(messages: list[bytes], lost: tuple[set[int], set[int]], *, lag_ms: int) -> Parsers:
    """Both hosts receive a message a millisecond but for what each has lost; the second is `lag_ms` behind."""
    hosts, parsers = (Host("a"), Host("b", offset_ns=1_700)), Parsers()
    for at in range(len(messages) + lag_ms + 300):
        for number, host in enumerate(hosts):
            n = at - number * lag_ms
            if 0 <= n < len(messages) and n + 1 not in lost[number]:
                parsers.take(host.take(messages[n], at))
            elif n >= 0:
                parsers.take(host.tick(at))
    return parsers


@pytest.mark.parametrize("lag_ms", [0, 3, 40])
@pytest.mark.parametrize("seed", range(4))
def test_what_either_host_received_comes_once_and_in_order(seed: int, lag_ms: int) -> None:
    """In turn one of them misses a range on both of its lines, once both miss the same: that alone is a gap."""
    chance = random.Random(seed)
    messages, lost = day(1_600), (set[int](), set[int]())
    for place in range(5):
        start = 100 + 300 * place + chance.randrange(20)
        missed = set(range(start, start + chance.randrange(1, 12)))
        for number in (0, 1):
            if place == 2 or place % 2 == number:
                lost[number].update(missed)
    both = lost[0] & lost[1]
    parsers = run(messages, lost, lag_ms=lag_ms)
    assert received_of(parsers) == expected_of(m for n, m in enumerate(messages, 1) if n not in both)
    assert order_faults(parsers.records) == []
    assert parsers.gaps() == both
    assert parsers.counts.late == 0


@pytest.mark.parametrize("lag_ms", [0, 3, 40])
@pytest.mark.parametrize("seed", range(4))
def test_while_both_wait_for_something_only_images_that_came_too_late_are_left_out(seed: int, lag_ms: int) -> None:
    """Ranges so near each other that both publishers wait at once: the first to give up says a gap, the other fills
    it. Events all come; an image that comes after its gap is stale and counted."""
    chance = random.Random(seed)
    messages, lost = day(400), (set[int](), set[int]())
    for missed in lost:
        for _ in range(8):
            start = chance.randrange(20, 360)
            missed.update(range(start, start + chance.randrange(1, 12)))
    both = lost[0] & lost[1]
    parsers = run(messages, lost, lag_ms=lag_ms)
    expected = expected_of(m for n, m in enumerate(messages, 1) if n not in both)
    received = received_of(parsers)
    assert received - expected == Counter()
    left_out = expected - received
    assert {channel for channel, _ in left_out} <= {"depth", "stats"}
    assert sum(left_out.values()) == parsers.counts.late_images
    assert both <= parsers.gaps() <= lost[0] | lost[1]


@pytest.mark.parametrize("dies", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_either_dies_and_nothing_is_lost(seed: int, dies: int) -> None:
    chance = random.Random(seed)
    messages, hosts, parsers = day(300), (Host("a"), Host("b")), Parsers()
    death, back = 100 + chance.randrange(50), 200 + chance.randrange(50)
    queues: tuple[list[RawMessage], list[RawMessage]] = ([], [])
    for n, data in enumerate(messages):
        for number, host in enumerate(hosts):
            if number == dies and death <= n < back:
                queues[number].clear()  # what was not published died with it
                continue
            queues[number].extend(host.take(data, n))
        for queue in queues:  # published in order, each in its own time
            taken = chance.randrange(len(queue) + 1)
            parsers.take(queue[:taken])
            del queue[:taken]
    for number, host in enumerate(hosts):
        parsers.take([*queues[number], *host.tick(1_000)])
    assert received_of(parsers) == expected_of(messages)
    assert order_faults(parsers.records) == []
    assert parsers.gaps() == set()


def test_a_gap_of_one_does_not_hide_what_the_other_brings_late() -> None:
    """The second publisher is more than the wait behind: the first one's gap is said, and then filled."""
    messages, parsers = day(12), Parsers()
    first, second = Host("a"), Host("b")
    for n, data in enumerate(messages):
        if n not in (4, 5, 6):
            parsers.take(first.take(data, n))
    parsers.take(first.tick(400))
    assert parsers.gaps() == {5, 6, 7}
    for n, data in enumerate(messages):
        parsers.take(second.take(data, n))
    trades = [n for n in range(1, 13) if b"\x01387=" in messages[n - 1]]
    assert sorted(parsers.sequences("trade")) == trades
    assert len(parsers.sequences("trade")) == len(set(parsers.sequences("trade")))


@pytest.mark.parametrize("first_misses", [0, 3])
def test_a_reset_leads_both_into_one_epoch(first_misses: int) -> None:
    """Or one of them has missed the beginning and cannot know: the other one's messages count."""
    before = day(50)
    after = [with_sum(data.replace(b"02:15:00.123", b"02:15:07.123")) for data in before]
    hosts, parsers = (Host("a"), Host("b", offset_ns=900)), Parsers()
    for n, data in enumerate(before):
        for host in hosts:
            parsers.take(host.take(data, n))
    for n, data in enumerate(after):
        for number, host in enumerate(hosts):
            if number or n >= first_misses:
                parsers.take(host.take(data, 6_000 + n))
    for host in hosts:
        parsers.take(host.tick(9_000))
    assert hosts[1].stage.epoch == EPOCH + 1
    assert hosts[0].stage.epoch == (EPOCH if first_misses else EPOCH + 1)
    assert received_of(parsers) == expected_of([*before, *after])
    assert order_faults(parsers.records) == []


def with_sum(data: bytes) -> bytes:
    return data[:-4] + b"%03d\x01" % (sum(data[:-7]) % 256)


def test_a_publisher_that_missed_a_reset_takes_the_epoch_of_its_partner() -> None:
    late, parsers = Host("b"), Parsers()
    parsers.take(late.take(trade(500), 0))
    late.stage.adopt(EPOCH + 2)
    late.stage.adopt(EPOCH + 1)  # never back
    parsers.take([*late.take(trade(501), 1), *late.tick(400)])  # the first of an epoch waits for lower ones
    assert [record["ep"] for record in parsers.records if record["ch"] == "trade"] == [
        "20261120-1",
        "20261120-3",
    ]
    late.take(trade(502), 2, epoch=EPOCH + 100)
    assert late.stage.epoch == EPOCH + 100


def with_a_reset(missed: int) -> tuple[tuple[Host, Host], Parsers, list[bytes], list[bytes]]:
    """Two hosts, the second of which was down for a reset and the first messages after it; all of both days' messages
    after which it comes back, and those still to come."""
    before = day(500)
    after = [with_sum(data.replace(b"02:15:00.123", b"02:15:07.123")) for data in day(600)]
    hosts, parsers = (Host("a"), Host("b")), Parsers()
    for n, data in enumerate(before):
        for host in hosts:
            parsers.take(host.take(data, n))
    for n, data in enumerate(after[:missed]):
        parsers.take(hosts[0].take(data, 6_000 + n))
    assert [host.stage.epoch for host in hosts] == [EPOCH + 1, EPOCH]
    return hosts, parsers, [*before, *after[:missed]], after[missed:]


def test_the_marks_of_one_that_takes_an_epoch_hide_nothing_of_its_partner() -> None:
    """It was at 500 when the epoch changed behind its back; the partner is at 250 then and brings the rest."""
    hosts, parsers, passed, coming = with_a_reset(missed=200)
    for n, data in enumerate(coming):
        if n == 50:
            hosts[1].stage.follow(EPOCH + 1, T0_NS + 6_000 * MS, T0_NS + 6_000 * MS)
        for host in hosts:
            parsers.take(host.take(data, 6_200 + n))
    for host in hosts:
        parsers.take(host.tick(20_000))
    assert received_of(parsers) == expected_of([*passed, *coming])
    assert order_faults(parsers.records) == []
    assert parsers.gaps() == set()


@pytest.mark.parametrize("missed", [200, 550])
@pytest.mark.parametrize("goes_back", [False, True])
def test_one_that_comes_back_after_a_reset_carries_on_alone_from_its_first_message(
    missed: int, goes_back: bool
) -> None:
    """The partner dies when it has brought one message more. Also when it is asked to go back behind the reset."""
    (first, killed), parsers, passed, coming = with_a_reset(missed)
    second = Host("b2")
    second.capture_seq = killed.capture_seq
    second.stage.restore(killed.stage.state())
    second.stage.follow(EPOCH + 1, T0_NS + 6_000 * MS, T0_NS + 8_000 * MS)
    parsers.take(first.take(coming[0], 60_000))
    if goes_back:
        second.take(coming[0], 60_000)  # was published and lost
        again = Host("b2.1")
        again.stage.restore(killed.stage.state())
        again.stage.follow(*second.stage.partner_epoch)
        second = again
    for n, data in enumerate(coming):
        parsers.take(second.take(data, 60_000 + n))
    parsers.take(second.tick(70_000))
    assert second.stage.epoch == EPOCH + 1
    assert received_of(parsers) == expected_of([*passed, *coming])
    assert order_faults(parsers.records) == []
    assert parsers.gaps() == set()


@pytest.mark.parametrize("missed", [1, 2, 5])
def test_a_stream_that_one_was_not_there_for_to_begin_anew_is_whole(missed: int) -> None:
    """A slow stream beside a fast one that tells the reset. In turn each of the two is down while it goes on."""
    hosts, parsers = (Host("a"), Host("b", offset_ns=900)), Parsers()

    def both(data: bytes, at_ms: int, *there: int) -> None:
        for number in there or (0, 1):
            parsers.take(hosts[number].take(data, at_ms))
            parsers.take(hosts[number].tick(at_ms + 400))

    slow = [expected(n, market="UPX") for n in range(1, 3)]
    anew = [with_sum(expected(n, market="UPX").replace(b"02:15:00.123", b"02:15:08.123")) for n in range(1, 21)]
    both(trade(1), 0)
    for n, data in enumerate(slow):
        both(data, 500 * n)
    both(with_sum(trade(1, price="97000.0").replace(b"02:15:00.123", b"02:15:07.123")), 7_000)
    for n, data in enumerate(anew):
        alone = (0,) if n < missed else (1,) if 8 <= n < 12 else ()
        both(data, 8_000 + 500 * n, *alone)
    assert [host.stage.epoch for host in hosts] == [EPOCH + 1, EPOCH + 1]
    assert parsers.sequences("expected") == [1, 2, *range(1, 21)]
    assert parsers.gaps() == set()
    assert [record for record in parsers.records if record.get("event") == "late_start"] == []
    assert order_faults(parsers.records) == []


def test_what_was_received_around_a_reset_is_not_yet_of_its_epoch() -> None:
    """The one that sees the reset a moment after its partner counts it once."""
    host = Host("b")
    host.take(trade(9), 0)
    host.stage.follow(EPOCH + 1, T0_NS, T0_NS + 2_000 * MS)
    host.take(trade(10), 1_998)
    assert host.stage.epoch == EPOCH
    host.take(with_sum(trade(1).replace(b"02:15:00.123", b"02:15:07.123")), 1_999)
    assert host.stage.epoch == EPOCH + 1
    host.take(trade(2), 2_000)
    assert host.stage.epoch == EPOCH + 1


def test_what_one_brought_in_the_epoch_before_hides_nothing_of_its_partner() -> None:
    """It takes the epoch with its own messages 1 to 4 published under the old one; the partner, behind, brings them."""
    ahead, behind, parsers = Host("b"), Host("a"), Parsers()
    parsers.take([*ahead.take(trade(500), 0), *ahead.tick(400)])
    ahead.stage.follow(EPOCH + 1, T0_NS + 1, T0_NS + 60_000 * MS)
    ahead.stage.adopt(EPOCH + 1)
    after = [with_sum(trade(n).replace(b"02:15:00.123", b"02:15:07.123")) for n in range(1, 7)]
    for n, data in enumerate(after[:4]):
        ahead.take(data, 7_000 + n)  # counted under an epoch that the parsers have left
    ahead.stage.adopt(EPOCH + 2)
    parsers.take(ahead.take(after[4], 7_005))
    behind.stage.adopt(EPOCH + 2)
    for n, data in enumerate(after):
        parsers.take(behind.take(data, 7_000 + n, epoch=EPOCH + 2))
    assert sorted(parsers.sequences("trade")) == [1, 2, 3, 4, 5, 6, 500]


def test_one_that_only_counted_a_reset_less_sees_the_next_one_itself() -> None:
    """Its streams are where its partner's are: it was not there yet when the epoch before began."""
    host = Host("b")
    host.take(trade(1), 1)
    host.take(trade(2), 2)
    host.stage.follow(EPOCH + 1, T0_NS + MS, T0_NS + 1_000 * MS)
    host.take(trade(3), 3)
    host.stage.adopt(EPOCH + 1)
    host.take(with_sum(trade(1).replace(b"02:15:00.123", b"02:15:07.123")), 900)
    assert host.stage.epoch == EPOCH + 2
