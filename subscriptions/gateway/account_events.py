"""Publishes what concerns a subscriber into the `account` channel of its own sessions on this gateway."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from subscriptions.entitlements import Grant
from subscriptions.gateway import account
from subscriptions.gateway.layer import StreamLayer

log = logging.getLogger(__name__)

QUOTA_SHARE = 0.8  # of a limit used: a quota record
EVENT_NAMES = frozenset({"replay", "quota", "entitlements", "limits", "key_expiry", "key_ended", "notice"})


class AccountEvents:
    """Numbers go up whether somebody follows the channel or not; a record goes only to who follows it."""

    def __init__(self, layer: StreamLayer) -> None:
        self.layer = layer
        self.streams = account.AccountStreams()
        self.published = 0
        self._told: dict[int, tuple[Grant, Grant]] = {}  # subscriber → the change its first session brought
        self._warn_ns = 0
        self._warned: dict[str, int] = {}  # key → the last warning, in seconds before the end

    def publish(self, subscriber: str, event: str, members: Mapping[str, object]) -> None:
        self.published += 1
        self.layer.publish(self.streams.record(subscriber, event, at_ns=self.layer.clock_ns(), **members))

    def take(self, message: Mapping[str, object]) -> None:
        """An event of another process, such as the end of a replay; only for subscribers with a session here."""
        subscriber, event, members = message.get("subscriber"), message.get("event"), message.get("members")
        if event not in EVENT_NAMES or not isinstance(members, Mapping):
            log.warning("account event %r is not one of ours", event)
            return
        code = next(
            (grant.subscriber for grant in self.layer.open_keys.grants() if grant.subscriber_id == subscriber), None
        )
        if code is not None:
            self.publish(code, str(event), members)

    def regranted(self, before: Grant, after: Grant) -> None:
        """One session's change of grant; that of the subscriber's other sessions is the same and told once."""
        changed = account.rights_changed(before, after)
        limits = account.limits_changed(before.limits, after.limits)
        told = self._told.get(after.subscriber_id)
        if after.subscriber_id <= 0 or (told is not None and _same(told, (before, after))):
            return
        self._told[after.subscriber_id] = (before, after)
        if changed is not None:
            self.publish(after.subscriber, "entitlements", changed)
        if limits is not None:
            self.publish(after.subscriber, "limits", limits)

    def key_ended(self, grant: Grant, code: str) -> None:
        """To the sessions that the subscriber has with other keys."""
        if grant.subscriber_id > 0 and any(
            one.subscriber_id == grant.subscriber_id for one in self.layer.open_keys.grants()
        ):
            self.publish(grant.subscriber, "key_ended", {"key": grant.key_id, "code": code})

    def sessions_used(self, grant: Grant, used: int) -> None:
        if grant.subscriber_id > 0 and used >= QUOTA_SHARE * grant.limits.sessions:
            self.quota(grant, "sessions", used=used, limit=grant.limits.sessions)

    def quota(self, grant: Grant, what: str, *, used: int, limit: int) -> None:
        self.publish(grant.subscriber, "quota", {"what": what, "used": used, "limit": limit})

    def warn(self, *, now_ns: int) -> None:
        """Keys that end soon: each of the warnings once, to who is there. Looks once a second, however often asked."""
        if now_ns < self._warn_ns:
            return
        self._warn_ns = now_ns + 1_000_000_000
        self._forget()
        for grant in self.layer.open_keys.grants():
            if grant.expires_ns is None or not self._follows(grant.key_id):
                continue
            due = account.warning_due(grant.expires_ns, warned_s=self._warned.get(grant.key_id), now_ns=now_ns)
            if due is not None:
                self._warned[grant.key_id] = due
                left_s = (grant.expires_ns - now_ns) // 1_000_000_000
                self.publish(grant.subscriber, "key_expiry", {"key": grant.key_id, "expires_in_s": left_s})

    def _forget(self) -> None:
        """Drop what concerns nobody who is connected."""
        grants = self.layer.open_keys.grants()
        keys, subscribers = {one.key_id for one in grants}, {one.subscriber_id for one in grants}
        self._warned = {key: due for key, due in self._warned.items() if key in keys}
        self._told = {one: change for one, change in self._told.items() if one in subscribers}

    def _follows(self, key_id: str) -> bool:
        """Whether a session with this key follows its account channel."""
        return any(
            one.operation.channel == account.CHANNEL
            for seat in self.layer.open_keys.seats(key_id)
            for one in seat.session.subscriptions.values()
        )


def _same(one: tuple[Grant, Grant], other: tuple[Grant, Grant]) -> bool:
    return all(a.rules == b.rules and a.limits == b.limits for a, b in zip(one, other, strict=True))
