"""`mdds symbols`, `usage`, `replay`, `doctor` and `bench`, each as a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mdds_client.testing import FakeGateway, FakeSession

Run = Callable[..., Awaitable[Any]]
FEEDS = {"feeds": [{"name": "STO", "state": "live", "age_ms": 12}, {"name": "STX", "state": "closed", "age_ms": None}]}
RIGHTS = {"entitlements": [{"product": "HOSE depth 10"}, {"product": "Indexes"}]}
FPT = {
    "symbol": "FPT", "isin": "VN000000FPT1", "market": "STO", "name": "Công ty FPT", "english_name": "FPT Corp",
    "boards": [{"board": "T1"}, {"board": "G1", "reference": "98000", "floor": "91200", "ceiling": "104800"}],
}  # fmt: skip


def trade(n: int) -> dict[str, Any]:
    return {"ch": "trade", "s": "FPT", "n": n, "ep": "e1", "rx": time.time_ns() - 3_000_000, "bd": "G1", "p": 5, "v": 1}


async def streams(session: FakeSession) -> None:
    """Grants and streams a trade every few milliseconds; answers whatever else comes."""
    await session.welcome()
    while True:
        message = await session.receive()
        reply: dict[str, Any] = {"t": message["op"], "id": message["id"], "sid": message.get("sid", 1)}
        if message["op"] == "sub":
            reply |= {"granted": {"timeliness": "realtime"}, "ok": message["symbols"], "errors": []}
        if message["op"] == "ping":
            reply = {"t": "pong", "id": message["id"], "time": datetime.now(UTC).isoformat()}
        await session.send(reply)
        if message["op"] == "sub" and message["ch"] == "trade":
            await session.records(*[trade(n) for n in range(1, 11)])


async def test_symbols_are_a_line_of_json_each_and_stop_at_the_limit(mdds: Run) -> None:
    page = {"instruments": [FPT, {**FPT, "symbol": "FPX"}], "next": "c"}
    async with FakeGateway(rest={"instruments?q=FP&market=STO": page}) as gateway:
        done = await mdds("symbols", "FP", "--market", "STO", "--limit", "1", MDDS_URL=gateway.url, MDDS_API_KEY="k")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == [FPT]
    assert gateway.keys == ["Bearer k"]


async def test_usage_and_its_refusal(mdds: Run) -> None:
    answer = {"records": 12}
    async with FakeGateway(rest={"usage": answer}) as gateway:
        assert json.loads((await mdds("usage", "--url", gateway.url)).out) == answer
    refused = (401, {"t": "error", "code": "AUTH_REQUIRED", "msg": "a key is needed"})
    async with FakeGateway(rest={"usage": refused}) as gateway:
        done = await mdds("usage", "--url", gateway.url)
    assert done.code == 3
    assert done.err == "mdds: a key is needed (AUTH_REQUIRED); no key was given: set MDDS_API_KEY or use --key\n"


async def test_a_replay_is_lines_of_json(mdds: Run) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("replay")
        await session.send({"t": "replay", "id": asked["id"], "sid": 3, "job": "replay:9"})
        await session.records(*[{**trade(n), "job": "replay:9"} for n in (1, 2)])
        await session.serve()

    times = ("--start", "2026-11-20T02:15", "--end", "2026-11-20T03:00:00Z", "--speed", "10")
    async with FakeGateway(script) as gateway:
        done = await mdds("replay", "FPT", *times, "--count", "2", "--url", gateway.url)
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line)["n"] for line in done.out.splitlines()] == [1, 2]
    assert gateway.operations[0] == {
        "op": "replay", "ch": "trade", "symbols": ["FPT"], "start": "2026-11-20T02:15:00Z",
        "end": "2026-11-20T03:00:00Z", "speed": 10,
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------- doctor
def verdicts(out: str) -> list[tuple[str, str]]:
    return [(row["check"], row["verdict"]) for row in json.loads(out)]


async def test_the_doctor_finds_all_well(mdds: Run) -> None:
    async with FakeGateway(streams, rest={"feeds": FEEDS, "entitlements": RIGHTS}) as gateway:
        done = await mdds("doctor", "FPT", "--ch", "trade", "--wait", "2", "--url", gateway.url, "--key", "k")
    lines = re.findall(
        r"^(ok|warn|fail|skip) +(settings|dns|tcp|tls|auth|round trip|clock|feed|rights|stream)", done.out, re.M
    )
    assert (done.code, done.err) == (0, "")
    assert [" ".join(line) for line in lines] == [
        "ok settings", "ok dns", "ok tcp", "skip tls", "ok auth", "ok round trip", "ok clock", "ok feed", "ok feed",
        "ok rights", "ok stream",
    ]  # fmt: skip
    assert "STO: live, last message 0.0 s ago" in done.out
    assert "trade FPT: 10 records" in done.out
    assert done.out.endswith("all well\n")


async def test_the_doctor_finds_a_wrong_host(mdds: Run) -> None:
    done = await mdds("doctor", "--json", "--url", "wss://no-such-host.invalid/stream/v1", "--key", "k")
    assert done.code == 5
    assert verdicts(done.out) == [("settings", "ok"), ("dns", "fail"), ("service", "skip")]
    assert "check the host in MDDS_URL" in done.out


async def test_the_doctor_finds_a_port_on_which_nothing_listens(mdds: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = await mdds("doctor", "--url", f"ws://127.0.0.1:{taken.getsockname()[1]}/stream/v1")
    assert done.code == 5
    assert "warn settings" in done.out
    assert re.search(r"^fail tcp .*connection refused$", done.out, re.M)
    assert "→ nothing listens on port" in done.out


async def test_the_doctor_finds_a_server_without_tls(mdds: Run) -> None:
    async with FakeGateway() as gateway:
        done = await mdds("doctor", "--json", "--url", gateway.url.replace("ws://", "wss://"))
    assert done.code == 5
    assert verdicts(done.out)[-2:] == [("tls", "fail"), ("service", "skip")]


@pytest.mark.parametrize(
    ("code", "advice"),
    [("AUTH_FAILED", "make a new key in the portal"), ("KEY_EXPIRED", "rotate it"), ("IP_NOT_ALLOWED", "add it")],
)
async def test_the_doctor_finds_a_wrong_key(mdds: Run, code: str, advice: str) -> None:
    async def refuses(session: FakeSession) -> None:
        await session.send({"t": "error", "id": None, "code": code, "fatal": True, "msg": "not this key"})
        await session.close(4401, code=code)

    async with FakeGateway(refuses) as gateway:
        done = await mdds("doctor", "--url", gateway.url, "--key", "mdds_live_12345678_secret")
    assert done.code == 3
    assert f"fail auth        {code}: not this key" in done.out
    assert advice in done.out
    assert "secret" not in done.out


async def test_the_doctor_finds_a_stale_feed_and_missing_rights(mdds: Run) -> None:
    stale = {"feeds": [{"name": "STO", "state": "stale", "age_ms": 61_000}]}
    async with FakeGateway(streams, rest={"feeds": stale, "entitlements": {"entitlements": []}}) as gateway:
        done = await mdds("doctor", "--url", gateway.url, "--key", "k")
    assert done.code == 1
    assert "fail feed        STO: stale, last message 61.0 s ago" in done.out
    assert "fail rights      no product" in done.out


async def test_without_rest_the_doctor_reads_the_heartbeat(mdds: Run) -> None:
    async def beats(session: FakeSession) -> None:
        await session.welcome(hb_s=1)
        for _ in range(5):
            ping = await session.receive("ping")
            await session.send({"t": "pong", "id": ping["id"], "time": "2020-01-01T00:00:00Z"})
        while True:
            await session.send({"t": "hb", "feeds": {"STO": {"state": "suspect", "age_ms": 5}}})
            await asyncio.sleep(0.2)

    async with FakeGateway(beats) as gateway:
        done = await mdds("doctor", "--json", "--url", gateway.url)
    found = dict(verdicts(done.out))
    assert (done.code, found["clock"], found["feed"], found["rights"]) == (1, "fail", "fail", "warn")


async def test_the_doctor_says_which_stream_is_refused_and_which_is_late(mdds: Run) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        for _ in range(5):
            ping = await session.receive("ping")
            await session.send({"t": "pong", "id": ping["id"], "time": datetime.now(UTC).isoformat()})
        await session.grant()
        late_ns = int(timedelta(seconds=30).total_seconds() * 1e9)
        await session.records(*[{**trade(n), "rx": time.time_ns() - late_ns} for n in range(1, 4)])
        gone = await session.receive("unsub")
        await session.send({"t": "unsub", "id": gone["id"], "sid": 1})
        await session.grant(ok=[], sid=None, errors=[{"s": "XXX", "code": "SYMBOL_UNKNOWN"}])
        await session.serve()

    async with FakeGateway(script, rest={"feeds": FEEDS, "entitlements": RIGHTS}) as gateway:
        done = await mdds("doctor", "FPT", "XXX", "--ch", "trade", "--wait", "2", "--url", gateway.url, "--key", "k")
    assert done.code == 1
    assert re.search(r"fail stream      trade FPT: 3 records, [3-9]\d{4}\.\d ms old", done.out)
    assert "fail stream      trade XXX: SYMBOL_UNKNOWN" in done.out


# ---------------------------------------------------------------------------------------------------- bench
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_bench_counts_what_its_clients_got(mdds: Run, encoding: str) -> None:
    arguments = ("--clients", "3", "--seconds", "1", "--ch", "trade", "--encoding", encoding, "--json")
    async with FakeGateway(streams) as gateway:
        done = await mdds("bench", "FPT", *arguments, "--url", gateway.url)
    report = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert (report["clients"], report["records"], report["records_per_client_min"]) == (3, 30, 10)
    assert 3 <= report["latency_ms_p50"] <= report["latency_ms_p99"] <= report["latency_ms_max"]
    assert (report["missing"], report["reconnects"]) == (0, 0)


async def test_bench_without_a_record_is_a_failure_and_without_a_server_an_error(mdds: Run) -> None:
    async with FakeGateway() as gateway:
        quiet = await mdds("bench", "FPT", "--clients", "1", "--seconds", "0.2", "--url", gateway.url)
        url = gateway.url
    assert quiet.code == 1
    assert re.search(r"^records +0 *$", quiet.out, re.M)
    gone = await mdds("bench", "FPT", "--clients", "2", "--seconds", "0.2", "--url", url)
    assert (gone.code, "connection refused" in gone.err) == (5, True)
