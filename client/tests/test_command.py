"""The command `mdds` as a process of its own: output, exit codes, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from mdds_client import __version__
from mdds_client.testing import FakeGateway, FakeSession

DEPTH = '{"ch":"depth","s":"FPT","n":1,"ep":"e1","bd":"G1","mt":"X","b":[[98500.10,1200]],"a":[[98600.0,700]]}'
BOOK = DEPTH.replace("depth", "book").replace('"b":', '"kind":"snap","b":')
TRADE = '{"ch":"trade","s":"FPT","n":%d,"ep":"e1","bd":"G1","mt":"X","p":98500.10,"v":100,"name":"Công ty"}'

END_S_MAX = 20.0


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return spawn([sys.executable, "-m", "mdds_client", *arguments], **environment)


def spawn(command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return subprocess.Popen(command, env={**clean, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def ended(process: subprocess.Popen[bytes]) -> Ended:
    """Waited for in a thread: asyncio's own pipes may outlive the test's loop, and their warning meets a later test."""
    with process:
        try:
            out, err = await asyncio.to_thread(process.communicate, timeout=END_S_MAX)
        finally:
            process.kill()
    return Ended(process.returncode, out.decode(), err.decode())


async def run(*arguments: str, **environment: str) -> Ended:
    return await ended(start(*arguments, **environment))


async def both_channels(session: FakeSession) -> None:
    await session.welcome()
    await session.grant()
    await session.grant()
    await session.frame(f"[{DEPTH},{TRADE % 1}]")
    await session.frame(f"[{TRADE % 2},{TRADE % 4}]")
    await session.serve()


async def test_json_lines_are_the_bytes_that_came() -> None:
    async with FakeGateway(both_channels) as gateway:
        done = await run("sub", "FPT", "--json", "--count", "3", MDDS_URL=gateway.url, MDDS_API_KEY="mdds_live_k")
    assert (done.code, done.out) == (0, f"{DEPTH}\n{TRADE % 1}\n{TRADE % 2}\n")
    assert gateway.sessions[0].authorization == "Bearer mdds_live_k"
    assert [operation["ch"] for operation in gateway.operations] == ["depth", "trade"]


async def test_a_pipe_gets_json_and_gaps_go_to_stderr() -> None:
    async with FakeGateway(both_channels) as gateway:
        done = await run("sub", "FPT", "--seconds", "0.5", "--url", gateway.url, "--key", "k")
    assert done.code == 0
    assert done.out.splitlines() == [DEPTH, TRADE % 1, TRADE % 2, TRADE % 4]
    assert done.err == "mdds: gap: trade FPT 3..3 lost\n"


async def test_options_become_the_operation() -> None:
    async with FakeGateway() as gateway:
        done = await run(
            "sub",
            "*",
            "--ch",
            "index",
            "--origin",
            "replay:12",
            "--conflate-ms",
            "250",
            "--no-snapshot",
            "--seconds",
            "0.1",
            "--url",
            gateway.url,
        )
    assert (done.code, done.out) == (0, "")
    assert gateway.operations[0] == {
        "op": "sub",
        "ch": "index",
        "symbols": ["*"],
        "snapshot": False,
        "conflate_ms": 250,
        "origin": "replay:12",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("sub",), "the following arguments are required: SYMBOL"),
        (("sub", "FPT", "--count", "0"), "expected a whole number of at least 1, got '0'"),
        (("sub", "FPT", "--seconds", "nan"), "expected seconds, more than 0, got 'nan'"),
        (("sub", "FPT", "--url", "http://localhost"), "url: expected ws://host:port/stream/v1"),
        (("sub", "FPT", "*"), 'symbols: expected "*" alone or names only'),
        (("nonsense",), "invalid choice: 'nonsense'"),
    ],
)
async def test_wrong_usage_is_one_clear_line_and_2(arguments: tuple[str, ...], said: str) -> None:
    async with FakeGateway() as gateway:
        done = await run(*arguments, MDDS_URL=gateway.url)
    assert done.code == 2
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def refusing(code: str, message: str) -> Any:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        for _ in range(2):
            operation = await session.receive("sub")
            await session.send({"t": "error", "id": operation["id"], "code": code, "fatal": False, "msg": message})
        await session.serve()

    return script


async def rejects_the_key(session: FakeSession) -> None:
    await session.send({"t": "error", "id": None, "code": "AUTH_FAILED", "fatal": True, "msg": "unknown key\x1b[2J"})
    await session.close(4401, code="AUTH_FAILED")


async def test_a_refused_key_is_3_and_cannot_steer_the_terminal() -> None:
    async with FakeGateway(rejects_the_key) as gateway:
        with_key = await run("sub", "FPT", "--url", gateway.url, "--key", "mdds_live_secret")
        without = await run("sub", "FPT", "--url", gateway.url)
    assert with_key == Ended(3, "", "mdds: unknown key [2J (AUTH_FAILED)\n")
    assert without.code == 3
    assert "no key was given: set MDDS_API_KEY or use --key" in without.err


async def test_not_entitled_and_unknown_symbols_are_4() -> None:
    async with FakeGateway(refusing("NOT_ENTITLED", "acme has no product with depth")) as gateway:
        done = await run("sub", "FPT", "--url", gateway.url)
    assert done == Ended(4, "", "mdds: acme has no product with depth (NOT_ENTITLED)\n")

    async def unknown(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=None, ok=[], granted=None, errors=[{"s": "XXX", "code": "SYMBOL_UNKNOWN"}])
        await session.serve()

    async with FakeGateway(unknown) as gateway:
        done = await run("sub", "XXX", "--ch", "trade", "--url", gateway.url)
    assert done == Ended(4, "", "mdds: trade XXX: symbol unknown (SYMBOL_UNKNOWN)\n")


async def test_what_is_partly_refused_is_a_warning() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(ok=["FPT"], errors=[{"s": "XXX", "code": "SYMBOL_UNKNOWN"}])
        await session.frame(f"[{TRADE % 1}]")
        await session.serve()

    async with FakeGateway(script) as gateway:
        done = await run("sub", "FPT", "XXX", "--ch", "trade", "--count", "1", "--url", gateway.url)
    assert done.code == 0
    assert done.err == "mdds: trade XXX: symbol unknown (trade XXX, SYMBOL_UNKNOWN)\n"


async def test_no_server_is_5() -> None:
    async with FakeGateway() as gateway:
        url = gateway.url
    assert await run("sub", "FPT", "--url", url) == Ended(5, "", f"mdds: cannot connect to {url}: connection refused\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_at_once_without_a_traceback(number: signal.Signals) -> None:
    async with FakeGateway(both_channels) as gateway:
        process = start("sub", "FPT", "--url", gateway.url)
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline)
        process.send_signal(number)
        last = await ended(process)
    assert last.code == 130
    assert "Traceback" not in last.err


async def test_a_closed_pipe_ends_it_quietly() -> None:
    async def endless(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        for n in range(1, 100_000):
            await session.frame(f"[{TRADE % n}]")

    async with FakeGateway(endless) as gateway:
        command = f"{sys.executable} -m mdds_client sub FPT --ch trade --url {gateway.url} | head -2"
        last = await ended(spawn(["/bin/sh", "-c", command]))
    assert last.out.splitlines() == [TRADE % 1, TRADE % 2]
    assert "Traceback" not in last.err
    assert "BrokenPipe" not in last.err


async def test_a_reconnect_is_told_on_stderr_and_streams_go_on() -> None:
    async def closes(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.frame(f"[{TRADE % 1}]")
        await session.close(4000, code="SHUTDOWN", retry_after_ms=1)

    async def goes_on(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.frame(f"[{TRADE % 2}]")
        await session.serve()

    async with FakeGateway(closes, goes_on) as gateway:
        done = await run("sub", "FPT", "--ch", "trade", "--count", "2", "--url", gateway.url)
    assert done.out.splitlines() == [TRADE % 1, TRADE % 2]
    assert "mdds: reconnecting in" in done.err
    assert "SHUTDOWN" in done.err


async def test_book_in_a_pipe_is_its_records() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.frame(f"[{BOOK}]")
        await session.serve()

    async with FakeGateway(script) as gateway:
        done = await run("book", "FPT", "--depth", "full", "--count", "1", "--url", gateway.url)
    assert done == Ended(0, BOOK + "\n", "")
    assert [gateway.operations[0][name] for name in ("ch", "depth")] == ["book", "full"]


async def test_version_and_help() -> None:
    assert (await run("--version")).out == f"mdds {__version__}\n"
    assert "exit codes:" in (await run("--help")).out
    assert "mdds sub FPT VNM --ch depth --ch trade" in (await run("sub", "--help")).out
