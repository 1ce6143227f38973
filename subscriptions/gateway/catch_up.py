"""Members that are behind their stream: resumes, and books that lost deltas.

A resume is never partial. A client that missed records is told `resumed` and pulls them from the stream's history, a
few at a time, as its socket takes them; only when it has the newest one does it become a member of its variant. So a
long resume costs no queue, and the ladder of slow consumers never cuts into one. A client that knows more than this
gateway (it was served by a faster one) waits for the number behind the one it has. What cannot be resumed is a gap with
its range, and a snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subscriptions.gateway.following import CATCHING_UP, LATE, LIVE_NOW, SUSPENDED, Follow, Gap, Member, Resumed
from subscriptions.gateway.variants import DerivedVariant

if TYPE_CHECKING:
    from subscriptions.gateway.hub import Hub
    from subscriptions.gateway.stream import Stream

PULL_RECORDS = 256  # of one stream at a time
PULL_BYTES = 65_536  # of one member at a time; then its socket is asked again
AHEAD_MAX = 100_000  # numbers a client may be ahead of this gateway; past it: its number is not of this numbering
REMADE_KEPT_NS = 10_000_000_000  # records of derived views are kept so long after the last resume that asked


class CatchUp:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.resumed = self.gaps = self.pulled = 0
        self.woken: list[str] = []  # members that are to pull though nothing waits for their socket
        self._remade: dict[DerivedVariant, int] = {}  # → when a resume asked last

    def resume(self, member: Member, follow: Follow) -> None:
        """Begin a follow where the client stands (`follow.at`, `follow.epoch`); the member hears what comes of it."""
        stream = follow.stream
        behind = self._source_number(follow) - stream.number
        ahead_max = 0 if stream.renumbered else AHEAD_MAX
        if stream.epoch and (follow.epoch != stream.epoch or behind > ahead_max):
            return self._gap(member, follow, to=None, why="epoch")
        if not stream.epoch:
            follow.state, follow.answered = LATE, False  # whether anything is missing, its first record will say
        elif behind > 0:
            follow.state = LATE
        elif behind < 0:
            if stream.history is None or stream.history.after(self._source_number(follow)) is None:
                return self._gap(member, follow, to=self._newest(follow), why="retention")
            follow.state = CATCHING_UP
        elif self._missed_a_close(follow):
            follow.state = CATCHING_UP
        self.hub.attach(member, follow)
        if follow.answered:
            self._say_resumed(member, follow)

    def pull(self, member: Member, *, now_ns: int) -> None:
        """Put the next records of the streams that are behind into an outbox that has been emptied."""
        pending, size = member.outbox.pending, 0
        for name, follow in list(member.behind.items()):
            if size >= PULL_BYTES:
                return
            before = len(pending)
            if follow.state == SUSPENDED:
                self.hub.make_live(member, follow)
                member.outbox.put(self.hub.snapshot(follow))
            else:
                self._pull_one(member, follow, now_ns=now_ns)
                if name in member.behind:  # in turn: the others first next time
                    member.behind[name] = member.behind.pop(name)
            size += sum(map(len, pending[before:]))

    def settle_late(self, stream: Stream, number: int) -> None:
        """Record `number` comes: who waited for it becomes a member; who waited for an earlier one has a gap."""
        for key, follow in list((stream.late or {}).items()):
            member = self.hub.members[key[0]]
            expected = self._source_number(follow) + 1
            if follow.epoch != stream.epoch:
                self._leave_late(stream, key)
                self._gap(member, follow, to=None, why="epoch")
            elif number > expected:
                self._leave_late(stream, key)
                self._gap(member, follow, to=number - 1, why="retention")
            else:
                if not follow.answered:
                    follow.answered = True
                    self._say_resumed(member, follow)
                if number == expected:
                    self._leave_late(stream, key)
                    self.hub.make_live(member, follow)
                elif number == expected - 1 and follow.view.channel == "bar":  # its minute may end without a trade
                    self._leave_late(stream, key)
                    follow.state = CATCHING_UP
                    member.behind[follow.name] = follow
                    self.woken.append(member.name)

    def sweep(self, now_ns: int) -> None:
        """Once a second: forget what resumes have not asked for since a while."""
        for variant, asked_ns in list(self._remade.items()):
            if now_ns - asked_ns > REMADE_KEPT_NS:
                variant.forget_remade()
                del self._remade[variant]

    def _pull_one(self, member: Member, follow: Follow, *, now_ns: int) -> None:
        stream = follow.stream
        if follow.epoch != stream.epoch:
            return self._gap(member, follow, to=None, why="epoch")
        variant = self.hub.variant(follow)
        records = variant.records_after(stream, follow.at, count=PULL_RECORDS)
        if records is None:
            return self._gap(member, follow, to=self._newest(follow), why="retention")
        if isinstance(variant, DerivedVariant):
            self._remade[variant] = now_ns
        member.outbox.put([record for _, record in records])
        self.pulled += len(records)
        self.hub.delivered += len(records)
        if records:
            follow.at = records[-1][0]
        if len(records) < PULL_RECORDS:
            self.hub.make_live(member, follow)

    def _gap(self, member: Member, follow: Follow, *, to: int | None, why: str) -> None:
        """Say what will not come, and go on with a snapshot from where the stream is."""
        self.gaps += 1
        follow.state, follow.answered = LIVE_NOW, True
        first = follow.at + 1
        self.hub.attach(member, follow)
        member.heard(Gap(follow, first, to, why))
        member.outbox.put(self.hub.snapshot(follow))

    def _missed_a_close(self, follow: Follow) -> bool:
        """Whether the exchange's clock has closed a bar since the client's last record, without a further trade."""
        stream = follow.stream
        if follow.view.channel != "bar" or stream.history is None or stream.history.after(stream.number) is None:
            return False
        variant = self.hub.variant(follow)
        return isinstance(variant, DerivedVariant) and variant.newest > follow.at

    def _say_resumed(self, member: Member, follow: Follow) -> None:
        self.resumed += 1
        member.heard(Resumed(follow, follow.at + 1))

    def _source_number(self, follow: Follow) -> int:
        return follow.at // 2 if follow.view.channel == "bar" else follow.at

    def _newest(self, follow: Follow) -> int:
        return follow.stream.number * (2 if follow.view.channel == "bar" else 1)

    def _leave_late(self, stream: Stream, key: tuple[str, str]) -> None:
        if stream.late is not None:
            stream.late.pop(key, None)
            stream.late = stream.late or None
