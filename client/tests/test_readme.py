"""The three examples of the README run as they stand, each against a gateway that streams what they ask for."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mdds_client.testing import FakeGateway, FakeSession

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
TRADE = '{"ch":"trade","s":"%s","n":%d,"ep":"e1","bd":"G1","p":98500.10,"v":100%s}'


async def streams(session: FakeSession) -> None:
    await session.welcome()
    await session.grant()
    await session.frame(f"[{TRADE % ('FPT', 1, '')},{TRADE % ('VNM', 1, '')},{TRADE % ('FPT', 3, '')}]")
    await session.serve()


async def books(session: FakeSession) -> None:
    await session.welcome()
    await session.grant()
    snap = {"ch": "book", "s": "FPT", "n": 1, "ep": "e1", "bd": "G1", "ts": "2026-11-20T02:15:00Z", "kind": "snap"}
    await session.records({**snap, "b": [[98500, 1200]], "a": [[98600, 700]]})
    await session.serve()


async def replays(session: FakeSession) -> None:
    await session.welcome()
    asked = await session.receive("replay")
    await session.send({"t": "replay", "id": asked["id"], "sid": 3, "job": "replay:9"})
    job = ',"job":"replay:9"'
    await session.frame(f"[{TRADE % ('FPT', 1, job)}]")
    await session.serve()


SAYS = [
    (streams, ["FPT 98500.1 100", "VNM 98500.1 100", "Gap(channel='trade'", "first=2, last=2"]),
    (books, ["Level(price=98500, quantity=1200) Level(price=98600, quantity=700) 2026-11-20T02:15:00Z"]),
    (replays, ['"p":98500.10,"v":100,"job":"replay:9"}']),
]


def test_there_are_three() -> None:
    assert len(EXAMPLES) == len(SAYS) == 3


@pytest.mark.parametrize("place", range(3))
async def test_an_example_runs_as_it_stands(place: int) -> None:
    script, expected = SAYS[place]
    async with FakeGateway(script) as gateway:
        said = await asyncio.to_thread(lines_until, EXAMPLES[place], expected, MDDS_URL=gateway.url, MDDS_API_KEY="k")
    assert all(text in said for text in expected), said


def lines_until(program: str, expected: list[str], **environment: Any) -> str:
    """What a program that never ends prints until all that is expected was there."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if all(text in said for text in expected) or "Traceback" in line:
                break
        process.kill()
    return said
