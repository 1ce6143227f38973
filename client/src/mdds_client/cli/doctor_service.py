"""The doctor's steps on the protocol: authentication, round trip, clock, feeds, entitlements, streams."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from mdds_client.cli.exit_codes import AUTH, CONNECTION, NOT_GRANTED, exit_code
from mdds_client.cli.findings import Finding
from mdds_client.client import AsyncClient
from mdds_client.clock import Clock
from mdds_client.errors import AuthError, ConnectionFailed, LimitError, MddsError
from mdds_client.settings import Settings

PINGS = 5
CLOCK_S_MAX = 1.0
ROUND_TRIP_S_MAX = 0.5
LAG_S_MAX = 2.0
GOOD_STATES = frozenset({"live", "closed"})
_STATE_ADVICE = {
    "stale": "no message from the exchange, the data is old: right outside trading hours, else tell the operator",
    "suspect": "the feed has lost messages: values may be wrong until their next image",
    "gap": "messages of the exchange are missing",
    "failover": "one of the two lines is silent; the data is whole",
    "unknown": "no gateway reports this feed: is the data path running?",
}


async def service_findings(
    settings: Settings, channels: tuple[str, ...], symbols: tuple[str, ...], *, wait_s: float
) -> AsyncIterator[Finding]:
    """Ends at the first failure without which nothing more can be said."""
    client = AsyncClient(settings.url, settings.api_key, exact=True, ssl_context=settings.ssl_context)
    try:
        await client.connect()
    except MddsError as error:
        yield _refused(error, has_key=settings.api_key is not None)
        return
    try:
        yield _welcome(client.welcome)
        clock = Clock()
        for _ in range(PINGS):
            clock.take(await client.server_clock())
        yield _round_trip(clock)
        yield _clock(clock)
        for finding in await _feeds(client):
            yield finding
        yield await _entitlements(client)
        for channel in channels:
            for symbol in symbols:
                yield await _stream(client, (channel, symbol), clock=clock, wait_s=wait_s)
    except MddsError as error:
        yield Finding.fail(
            "connection", error.message, "try again; if it stays, tell the operator", exit_code=CONNECTION
        )
    finally:
        await client.close()


def _refused(error: MddsError, *, has_key: bool) -> Finding:
    text = f"{error.code}: {error.message}"
    if isinstance(error, AuthError):
        advice = "make a new key in the portal, or ask who gave you this one" if has_key else "set MDDS_API_KEY"
        if error.code == "IP_NOT_ALLOWED":
            advice = "this machine's address is not on the key's list: add it in the portal"
        if error.code == "KEY_EXPIRED":
            advice = "the key's time is over: rotate it in the portal"
        return Finding.fail("auth", text, advice, exit_code=AUTH)
    if isinstance(error, LimitError):
        return Finding.fail("auth", text, "close other sessions of this key, or wait", exit_code=exit_code(error))
    advice = "is the path /stream/v1, and is it an MDDS server?" if isinstance(error, ConnectionFailed) else "try again"
    return Finding.fail("welcome", text, advice, exit_code=exit_code(error))


def _welcome(welcome: Mapping[str, Any]) -> Finding:
    limits = welcome.get("limits")
    used = ""
    if isinstance(limits, dict) and isinstance(limits.get("sessions"), int):
        used = f", sessions {limits.get('sessions_used', '?')} of {limits['sessions']}"
    return Finding.ok("auth", f"{welcome.get('subscriber') or 'public'}, session {welcome.get('session')}{used}")


def _round_trip(clock: Clock) -> Finding:
    text = f"{clock.round_trip_s * 1000:.1f} ms (median of {clock.count})"
    if clock.round_trip_s > ROUND_TRIP_S_MAX:
        return Finding.warn("round trip", text, "a slow way to the server: every record is at least half of that late")
    return Finding.ok("round trip", text)


def _clock(clock: Clock) -> Finding:
    if clock.offset_s is None:
        return Finding.skip("clock", "the server does not tell its time")
    text = f"this machine is {abs(clock.offset_s) * 1000:.0f} ms {'behind' if clock.offset_s > 0 else 'ahead'}"
    if abs(clock.offset_s) > CLOCK_S_MAX:
        return Finding.fail("clock", text, "set this machine's clock (NTP): latencies and tokens go by it")
    return Finding.ok("clock", text)


async def _feeds(client: AsyncClient) -> list[Finding]:
    try:
        rows = (await client.rest.get("feeds"))["feeds"]
        states = {str(row["name"]): row for row in rows}
    except (MddsError, KeyError, TypeError):
        states = await _heartbeat_feeds(client)
    if not states:
        return [Finding.warn("feeds", "the server names no feed", "is the data path running? ask the operator")]
    findings = []
    for name, row in sorted(states.items()):
        state, age_ms = str(row.get("state")), row.get("age_ms")
        age = f", last message {age_ms / 1000:.1f} s ago" if isinstance(age_ms, int | float) else ""
        text = f"{name}: {state}{age}"
        if state in GOOD_STATES:
            findings.append(Finding.ok("feed", text))
        elif state == "failover":
            findings.append(Finding.warn("feed", text, _STATE_ADVICE[state]))
        else:
            advice = _STATE_ADVICE.get(state, "see the status page of the portal")
            findings.append(Finding.fail("feed", text, advice))
    return findings


async def _heartbeat_feeds(client: AsyncClient) -> dict[str, Any]:
    """Without REST: the feeds of the next heartbeat, which comes within its interval when nothing else does."""
    heartbeat_s = client.welcome.get("hb_s")
    limit_s = (heartbeat_s if isinstance(heartbeat_s, int | float) else 15) + 2
    if not client.feeds:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await client.heartbeat()
    return client.feeds


async def _entitlements(client: AsyncClient) -> Finding:
    try:
        answer = await client.rest.get("entitlements")
    except AuthError:
        return Finding.skip("rights", "without a key: public channels only")
    except MddsError as error:
        return Finding.warn(
            "rights", f"no answer over REST: {error.message}", "set MDDS_API_URL if REST has its own address"
        )
    rows = answer.get("entitlements") if isinstance(answer, dict) else None
    products = sorted({str(row.get("product")) for row in rows or () if isinstance(row, dict)})
    if not products:
        advice = "this key sees nothing: ask for a product"
        return Finding.fail("rights", "no product", advice, exit_code=NOT_GRANTED)
    return Finding.ok("rights", ", ".join(products))


async def _stream(client: AsyncClient, wanted: tuple[str, str], *, clock: Clock, wait_s: float) -> Finding:
    """A subscription of one stream: granted, and how old its records are when they come."""
    channel, symbol = wanted
    name = f"{channel} {symbol}"
    try:
        async with await client.subscribe(channel, symbol, snapshot=False) as subscription:
            granted = subscription.granted.get(channel, {})
            delayed = granted.get("timeliness") == "delayed"
            ages: list[float] = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while len(ages) < 100:
                        ages += [
                            clock.age_s(record.received_ns, now_ns=time.time_ns())
                            for record in await subscription.batch()
                            if record.received_ns is not None
                        ]
    except MddsError as error:
        advice = "see `mdds symbols`" if error.code == "SYMBOL_UNKNOWN" else "ask for the product that has it"
        return Finding.fail("stream", f"{name}: {error.code}", advice, exit_code=exit_code(error))
    if not ages:
        return Finding.warn(
            "stream", f"{name}: granted, no record in {wait_s:g} s", "outside trading hours that is right"
        )
    text = f"{name}: {len(ages)} records, {statistics.median(ages) * 1000:.1f} ms old (median)"
    if statistics.median(ages) > LAG_S_MAX and not delayed:
        return Finding.fail("stream", text, "this client or the server is behind: try fewer streams, ask the operator")
    return Finding.ok("stream", text + (", delayed by right" if delayed else ""))
