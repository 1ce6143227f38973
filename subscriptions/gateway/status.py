"""The gateway's numbers for the status page and the metrics."""

from __future__ import annotations

from itertools import islice

from subscriptions.gateway.intake import Intake
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.totals import Totals

SESSIONS_SHOWN_MAX = 200


def gateway_counts(layer: StreamLayer, intake: Intake) -> dict[str, int]:
    """Everything counted since the start, open sessions included."""
    hub = layer.hub
    sums = Totals(
        delivered=layer.totals.delivered, conflated=layer.totals.conflated, skipped=layer.totals.skipped,
        discarded=layer.totals.discarded, sent_bytes=layer.totals.sent_bytes,
    )  # fmt: skip
    for seat in layer.seats.values():
        sums.add_open(seat.outbox)
    return {
        "records_in": hub.records_in, "bytes_in": hub.bytes_in, "eligible": hub.delivered,
        "delivered": sums.delivered, "conflated": sums.conflated, "skipped": sums.skipped,
        "discarded": sums.discarded, "sent_bytes": sums.sent_bytes, "opened": layer.totals.opened,
        "unreadable": hub.unreadable, "refused": hub.refused, "unheard": hub.unheard,
        "duplicate": intake.spans.duplicates, "lost": intake.spans.lost, "unnumbered": intake.unnumbered,
        "messages_dropped": layer.totals.messages_dropped,
    }  # fmt: skip


def session_rows(layer: StreamLayer) -> list[dict[str, object]]:
    """At most SESSIONS_SHOWN_MAX open sessions, oldest first."""
    rows: list[dict[str, object]] = []
    for seat in islice(layer.seats.values(), SESSIONS_SHOWN_MAX):
        session, outbox = seat.session, seat.outbox
        rows.append(
            {
                "session": session.public_id,
                "subscriber": session.grant.subscriber if session.grant else "",
                "key_id": session.grant.key_id if session.grant else "",
                "address": session.address,
                "subscriptions": [
                    {"sid": one.sid, "ch": one.operation.channel, "origin": one.operation.origin,
                     "symbols": list(islice(one.symbols, 20)), "count": len(one.symbols)}
                    for one in islice(session.subscriptions.values(), 20)
                ],
                "streams": len(layer.hub.members[session.name].streams) if session.name in layer.hub.members else 0,
                "sent_records": outbox.delivered,
                "sent_bytes": outbox.sent_bytes,
                "queued_bytes": outbox.queued_bytes,
                "conflated": outbox.conflated,
                "skipped": outbox.skipped,
                "opened_ns": session.opened_ns,
                "state": "slow" if outbox.slow else session.state,
            }
        )  # fmt: skip
    return rows
