"""What `mdds` draws in a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from base64 import b64encode
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions

from mdds_client.cli.ladder import Ladder, bar
from mdds_client.cli.market_table import MarketTable
from mdds_client.frames import Data, FrameReader
from mdds_client.records import Record
from mdds_client.testing import FakeGateway, FakeSession


def records(*members: dict[str, Any]) -> list[Record]:
    numbered = [{"s": "FPT", "n": n, "ep": "e1", "bd": "G1", "mt": "X", **one} for n, one in enumerate(members, 1)]
    frame = FrameReader(exact=True).read(json.dumps(numbered))
    assert isinstance(frame, Data)
    return frame.records


def drawn(view: MarketTable | Ladder, *, width: int = 100, height: int = 24) -> list[str]:
    """The lines of a view, spaces between columns as one."""
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(view.render(ConsoleDimensions(width, height)))
    return [re.sub(r"\s+", " ", line).strip() for line in capture.get().splitlines()]


def test_the_table_joins_trades_and_books_of_a_symbol() -> None:
    table = MarketTable(["trade", "depth"])
    table.take(
        records(
            {"ch": "trade", "p": 98500.0, "v": 100, "vol": 1000, "tx": "09:15:00.123"},
            {"ch": "trade", "p": 98600.5, "v": 200, "vol": 1200, "tx": "091501000"},
            {"ch": "depth", "b": [[98500.0, 1200]], "a": [], "tx": "091502000"},
            {"ch": "depth", "bd": "G4", "b": [[1.0, 1]], "a": [[2.0, 1]]},
        )
    )
    assert drawn(table) == [
        "symbol last qty volume trades bid qty bid offer offer qty time",
        "FPT 98,600.5 ▲ 200 1,200 2 1,200 98,500.0 09:15:02.000",
    ]


def test_other_channels_show_their_members_and_cannot_steer_the_terminal() -> None:
    table = MarketTable(["index"])
    table.take(records({"ch": "index", "s": "VNINDEX", "code": "001", "value": 1800.25, "note": "a\x1b[31mb"}))
    assert drawn(table) == ["channel symbol n latest", "index VNINDEX 1 code=001 value=1800.25 note=a [31mb"]


def test_a_raw_message_is_shown_by_its_fields() -> None:
    table = MarketTable(["raw"])
    table.take(records({"ch": "raw", "q": 41, "data": b64encode(b"8=FIX.4.4\x0135=X\x0134=41\x01").decode()}))
    assert drawn(table)[1] == "raw FPT 1 8=FIX.4.4|35=X|34=41|"


def test_more_symbols_than_lines_shows_those_that_moved_last() -> None:
    table = MarketTable(["trade"])
    table.take(records(*[{"ch": "trade", "s": f"S{n:02}", "p": n, "v": 1} for n in range(30)]))
    table.take(records({"ch": "trade", "s": "S00", "p": 1, "v": 1}))
    assert [line.split()[0] for line in drawn(table, height=4)] == ["symbol", "S00", "S28", "S29"]


def test_the_ladder_has_the_best_levels_in_the_middle_and_bars_in_proportion() -> None:
    ladder = Ladder("FPT", board="G1")
    assert drawn(ladder) == ["FPT G1", "waiting for the first image"]
    ladder.take(
        records(
            {
                "ch": "depth",
                "b": [[98500, 40], [98400, 10]],
                "a": [[98600, 20], [98700, 30]],
                "tb": 50,
                "ta": 50,
                "tx": "t",
            }
        )
    )
    assert ladder.book.spread == Decimal(100)
    assert drawn(ladder, width=76) == [
        "FPT G1",
        "98,700 30 " + "█" * 30,
        "98,600 20 " + "█" * 20,
        "spread 100",
        "98,500 40 " + "█" * 40,
        "98,400 10 " + "█" * 10,
        "bids 50 offers 50 t n 1",
    ]
    assert [line.split()[0] for line in drawn(ladder, height=5)] == ["FPT", "98,600", "spread", "98,500", "bids"]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, ""), (1.0, "████"), (0.5, "██"), (0.28125, "█▏"), (7.0, "████"), (-1.0, "")]
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(share: float, expected: str) -> None:
    assert bar(share, 4) == expected


LEAD = {"s": "FPT", "n": 1, "ep": "e", "bd": "G1"}
SIDES = {"b": [[98500, 100]], "a": [[98600, 50]]}


@pytest.mark.parametrize(
    ("command", "record", "expected"),
    [
        (("sub", "FPT", "--ch", "trade"), {"ch": "trade", "p": 98500, "v": 100, "vol": 1000}, "volume"),
        (("sub", "FPT", "--ch", "depth"), {"ch": "depth", **SIDES}, "spread 100"),
        (("book", "FPT"), {"ch": "book", "kind": "snap", **SIDES}, "spread 100"),
        (("sub", "FPT", "VNM", "--ch", "book"), {"ch": "book", "kind": "snap", **SIDES}, "offer qty"),
        (("sub", "FPT", "--ch", "quote"), {"ch": "quote", "bp": 98500, "bq": 1, "ap": None, "aq": None}, "bid qty"),
    ],
)
async def test_a_terminal_gets_the_live_view_and_its_cursor_back(
    command: tuple[str, ...], record: dict[str, Any], expected: str
) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records({**LEAD, **record})
        await session.serve()

    async with FakeGateway(script) as gateway:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mdds_client",
            *command,
            "--count",
            "1",
            "--url",
            gateway.url,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(theirs)
        text = await asyncio.wait_for(asyncio.to_thread(_read_all, ours), 20)
        assert await process.wait() == 0
    assert "98,500" in text
    assert expected in text
    assert "records: 1" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def _read_all(terminal: int) -> str:
    read = b""
    try:
        while chunk := os.read(terminal, 65_536):
            read += chunk
    except OSError:  # how Linux says that the other side of a terminal is closed
        pass
    finally:
        os.close(terminal)
    return read.decode()
