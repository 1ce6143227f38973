"""Decides whether a RAW message is the next of its publisher, and holds the ones that came before their turn.

Theory: a publisher's outbox goes back N, so a message that comes early is normally followed by the missing ones within
a moment. What was confirmed and then lost (a queue deleted, a broker's data wiped) never comes by itself. So an early
message is held, unacknowledged. After ASK_S the publisher is asked to go back in its journal (`again_key`): it begins
a new chain `<name>.<k>` whose messages say in `from` (`<publisher>:<number>`) what they follow, and what is held of the
old chain is dropped, because it comes again. The publisher says on the bus that it has gone back (`went_key`), for its
answer may stand in the queue behind a long backlog; then it is waited for, and asked again late. When nobody answers
within JUMP_S, or the answer does not come within ANSWER_S, the parser goes on behind the loss and says so
(feeds/parser/jump.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from feeds.parser.context import Context
from feeds.parser.counts import ParserCounts

if TYPE_CHECKING:
    from feeds.bus.base import Delivery

# Of one publisher. At either bound the newest are not kept (`not_held`): a publisher that goes back sends them again,
# and without one they are a part of the next jump. An outbox has 256 on their way.
HELD_MESSAGES_MAX = 300
HELD_BYTES_MAX = 32 << 20
# Below the broker's prefetch, past which nothing more would come: what is held is acknowledged all the same. Its chain
# has not gone on, so a successor that finds it gone asks for it too.
UNACKED_WHILE_HELD_MAX = 500
ASK_S = 0.5
ASK_AGAIN_S = 2.0  # then twice as long each time: asked again in the middle of its answer, a publisher starts over
JUMP_S = 10.0
ANSWER_S = 90.0  # a queue with a minute's backlog is read in less: what is held back is not parsed
ANSWER_AGAIN_S = 30.0
JUMP_S_REPLAY = 2.0  # nobody can be asked: a replay has no cursor
CHAINS_MAX = 8  # publishers come and go; past it the oldest one's numbers are forgotten
FROM = "from"
LIVE = "live"

Name = tuple[str, str, str]  # origin, feed, publisher


def again_key(feed: str) -> str:
    """The retained value in which a parser asks a feed's publishers to go back; see `Turns.request`."""
    return f"again.{feed}"


def went_key(feed: str) -> str:
    """The retained value in which a publisher says which requests it has answered: `{partition: at}`, the `at` of the
    partition's newest request as `Turns.request` has it."""
    return f"went.{feed}"


def base_of(publisher: str) -> str:
    """The publisher without how often it went back."""
    return publisher.split(".", 1)[0]


@dataclass(slots=True)
class Held:
    """Early messages of one publisher, by number."""

    since_s: float
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    size: int = 0
    asked_s: float = 0.0
    patience_s: float = ASK_S
    asked_ns: int = 0  # the first request for it, as the publishers see it
    answered: bool = False  # a publisher has gone back: what is missing is on its way
    waits: bool = False  # nothing of it is missing: it is new and waits until it is known what the others have lost


class Jump(NamedTuple):
    """What is given up: RAW messages `first`..`last` of `publisher`."""

    publisher: str
    first: int
    last: int


class Turns:
    """The chains of one partition. `chains` of the contexts say how far each publisher is and are in the checkpoint."""

    def __init__(self, counts: ParserCounts) -> None:
        self.counts = counts
        self.held: dict[Name, Held] = {}
        self.passed = 0  # deliveries since something is held

    def clear(self) -> None:
        """A new connection: what is not acknowledged comes again."""
        self.held.clear()
        self.passed = 0

    def take(self, context: Context, delivery: Delivery, now_s: float) -> bool:
        """Whether it is to be parsed now; else it was dropped or is held."""
        headers = delivery.headers
        publisher, number = str(headers["pub"]), int(headers["no"])
        if self.held:
            self.passed += 1
        if number == 0:  # outside of any chain (a dead letter put in again): its identity alone decides
            return True
        name = (context.origin, context.feed, publisher)
        last = _last(context.chains, publisher, number, headers)
        if self.held and publisher not in context.chains and FROM not in headers and self._others(name):
            # A publisher that follows on a dead one: taken now, it would make look old what the dead one has lost.
            self._hold(name, number, delivery, now_s).waits = number == 1
            return False
        if number == last + 1:
            if FROM in headers and publisher not in context.chains:
                self._replace(context, headers)
            _advance(context.chains, publisher, number)
            return True
        if number <= last:
            self.counts.repeated += 1
            return False
        self.counts.out_of_order += 1
        self._hold(name, number, delivery, now_s)
        return False

    def next(self, context: Context, publisher: str) -> Delivery | None:
        """The held message whose turn has come."""
        name = (context.origin, context.feed, publisher)
        held = self.held.get(name)
        if held is None:
            return None
        number = context.chains[publisher] + 1
        delivery = held.deliveries.pop(number, None)
        if delivery is not None:
            held.size -= len(delivery.body)
            context.chains[publisher] = number
        elif held.deliveries and min(held.deliveries) < number:  # came again meanwhile
            held.deliveries = {n: d for n, d in held.deliveries.items() if n > number}
            held.size = sum(len(d.body) for d in held.deliveries.values())
        if not held.deliveries:
            del self.held[name]
        return delivery

    def requests(self, now_s: float) -> list[Name]:
        """Whom to ask now to go back."""
        due = []
        for name, held in self.held.items():
            if name[0] == LIVE and not held.waits and now_s - (held.asked_s or held.since_s) >= held.patience_s:
                held.patience_s = max(ASK_AGAIN_S, 2 * held.patience_s)
                held.asked_s = now_s
                due.append(name)
        return due

    def not_asked(self, name: Name, now_s: float) -> None:
        """The request did not get through. Nobody could answer it yet, so nothing is given up for want of an answer."""
        held = self.held.get(name)
        if held is not None:
            held.since_s, held.asked_s, held.patience_s, held.asked_ns = now_s, 0.0, ASK_S, 0

    def answered(self, name: Name, answers: bytes | None, partition: int) -> bool:
        """Whether a publisher says (the value of `went_key`) that what `name` misses is on its way. Asked again in the
        middle of its answer it would start over, so this holds the next request back for a while, once."""
        held = self.held.get(name)
        if held is None or held.answered or not held.asked_ns:
            return False
        held.answered = _newest_answer(answers, partition) >= held.asked_ns
        held.patience_s = ANSWER_AGAIN_S if held.answered else held.patience_s
        return held.answered

    def request(self, context: Context, partition: int, at_ns: int) -> bytes:
        """What a publisher needs to know to go back far enough: how far this partition is with each of them."""
        of_feed = [name[2] for name in self.held if name[:2] == (context.origin, context.feed)]
        for publisher in of_feed:
            held = self.held[context.origin, context.feed, publisher]
            held.asked_ns = held.asked_ns or at_ns
        self.counts.asked += 1
        value = {"at": at_ns, "partition": partition, "held": of_feed, "chains": context.chains}
        return json.dumps(value, separators=(",", ":")).encode()

    def overdue(self, now_s: float) -> Name | None:
        """Whose missing messages are given up now."""
        for name, held in self.held.items():
            patience = ANSWER_S if held.answered else JUMP_S if name[0] == LIVE else JUMP_S_REPLAY
            if held.waits:
                if not self._others(name):
                    return name
            elif now_s - held.since_s >= patience:
                return name
        return None

    def fills_the_window(self) -> bool:
        """Whether so much came since something is held that it must be acknowledged; once each time."""
        if self.passed < UNACKED_WHILE_HELD_MAX:
            return False
        self.passed = 0
        return True

    def decide(self, context: Context, name: Name) -> None:
        """To go on behind what is missing of `name`: its lowest held message is the next from here on. It is said later
        (`said`): the clock decides here, and whoever succeeds us must not decide otherwise. Twice is once."""
        held, publisher = self.held[name], name[2]
        first, last = context.chains.get(publisher, 0) + 1, min(held.deliveries) - 1
        if last >= first and not held.waits:
            self.counts.jumps += 1
            self.counts.jumped += last + 1 - first
            context.jumps[publisher] = (first, last)
        if last >= first or publisher not in context.chains:
            _advance(context.chains, publisher, last)

    def said(self, context: Context, headers: Mapping[str, object]) -> Jump | None:
        """What was given up before this message and is to be said with it."""
        lost = context.jumps.pop(str(headers["pub"]), None) if context.jumps else None
        return None if lost is None else Jump(str(headers["pub"]), *lost)

    def _others(self, name: Name) -> bool:
        """Whether another publisher of the same feed misses something."""
        return any(n[:2] == name[:2] and n != name and not held.waits for n, held in self.held.items())

    def _hold(self, name: Name, number: int, delivery: Delivery, now_s: float) -> Held:
        held = self.held.get(name)
        if held is None:
            held = self.held[name] = Held(now_s)
            self.passed = 1 if len(self.held) == 1 else self.passed
        if number in held.deliveries:
            return held
        if len(held.deliveries) >= HELD_MESSAGES_MAX or held.size + len(delivery.body) > HELD_BYTES_MAX:
            self.counts.not_held += 1
            return held
        held.deliveries[number] = delivery
        held.size += len(delivery.body)
        return held

    def _replace(self, context: Context, headers: Mapping[str, object]) -> None:
        """A publisher went back: what is held of the chains that this one repeats comes again in it."""
        bases = {base_of(str(headers["pub"])), base_of(str(headers[FROM]).split(":", 1)[0])}
        for name in [n for n in self.held if n[:2] == (context.origin, context.feed) and base_of(n[2]) in bases]:
            del self.held[name]
            self.counts.filled += 1


def _newest_answer(answers: bytes | None, partition: int) -> int:
    try:
        return int(json.loads(answers or b"{}").get(str(partition), 0))
    except (ValueError, TypeError, AttributeError):
        return 0  # of another version


def _last(chains: Mapping[str, int], publisher: str, number: int, headers: Mapping[str, object]) -> int:
    """The number that the next message of `publisher` follows; for one that is unknown what it may begin with."""
    last = chains.get(publisher)
    if last is not None:
        return last
    follows = headers.get(FROM)
    if follows is not None:
        before, _, reached = str(follows).rpartition(":")
        # -1: it repeats too little for us (its own 1 would leave a hole), so it waits like an early one.
        return 0 if chains.get(before, 0) >= int(reached) or not chains else -1
    return 0 if chains else number - 1


def _advance(chains: dict[str, int], publisher: str, number: int) -> None:
    chains.pop(publisher, None)
    chains[publisher] = number
    while len(chains) > CHAINS_MAX:
        del chains[next(iter(chains))]
