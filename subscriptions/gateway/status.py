"""The gateway's numbers for the status page and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.intake import Intake
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.subscription import Subscription

SESSIONS_SHOWN_MAX = 200
SUBSCRIPTIONS_SHOWN_MAX = 8
SYMBOLS_SHOWN_MAX = 6


def gateway_counts(layer: StreamLayer, intake: Intake) -> dict[str, int]:
    """Everything counted since the start, open sessions included."""
    hub = layer.hub
    sums = layer.totals
    return {
        "records_in": hub.records_in, "bytes_in": hub.bytes_in, "eligible": hub.delivered,
        "delivered": sums.delivered, "conflated": sums.conflated, "skipped": sums.skipped,
        "discarded": sums.discarded, "sent_bytes": sums.sent_bytes, "opened": layer.totals.opened,
        "unreadable": hub.unreadable, "refused": hub.refused, "unheard": hub.unheard, "repeated": hub.repeated,
        "resumed": hub.catch_up.resumed, "gaps": hub.catch_up.gaps, "history_bytes": hub.histories.bytes,
        "duplicate": intake.spans.duplicates, "lost": intake.spans.lost, "unnumbered": intake.unnumbered,
        "messages_dropped": layer.totals.messages_dropped,
    }  # fmt: skip


# What a status page shows as lost on the way. A redelivered record is no loss, and `discarded` is a client that left.
DROPS_SHOWN = ("unreadable", "unnumbered", "lost", "refused", "conflated", "skipped")


def drops(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: counts[reason] for reason in DROPS_SHOWN}


def session_rows(layer: StreamLayer) -> list[dict[str, object]]:
    """At most SESSIONS_SHOWN_MAX open sessions, oldest first."""
    rows: list[dict[str, object]] = []
    for seat in islice(layer.seats.values(), SESSIONS_SHOWN_MAX):
        session, outbox = seat.session, seat.outbox
        member = layer.hub.members.get(session.name)
        rows.append(
            {
                "session": session.public_id,
                "subscriber": session.grant.subscriber if session.grant else "",
                "key_id": session.grant.key_id if session.grant else "",
                "address": session.address,
                "subscriptions": [
                    _words(one) for one in islice(session.subscriptions.values(), SUBSCRIPTIONS_SHOWN_MAX)
                ],
                "streams": len(member.follows) if member is not None else 0,
                "records_out": outbox.delivered,
                "bytes_out": outbox.sent_bytes,
                "queued_bytes": outbox.queued_bytes,
                "conflated": outbox.conflated,
                "skipped": outbox.skipped,
                "opened_ns": session.opened_ns,
                "state": "slow" if outbox.slow else session.state,
            }
        )
    return rows


def _words(subscription: Subscription) -> str:
    """`depth FPT VNM +18`, `trade * replay:12`."""
    operation = subscription.operation
    names = " ".join(islice(subscription.symbols, SYMBOLS_SHOWN_MAX))
    more = len(subscription.symbols) - SYMBOLS_SHOWN_MAX
    parts = [
        operation.channel,
        names,
        f"+{more}" if more > 0 else "",
        subscription.said_origin if subscription.said_origin != LIVE else "",
    ]
    return " ".join(part for part in parts if part)
