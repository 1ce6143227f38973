"""Shows a view live in a terminal, ten times a second at most, with one line about the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mdds_client.cli.exit_codes import printable
from mdds_client.records import Record

REFRESH_S = 0.1


class View(Protocol):
    """What a screen shows."""

    records: int

    def take(self, records: list[Record]) -> None: ...

    def render(self, size: ConsoleDimensions) -> RenderableType: ...


class Screen:
    """Used as a context: the cursor comes back however the program ends."""

    def __init__(self, view: View, *, footer: Callable[[], str], console: Console | None = None) -> None:
        self._view = view
        self._footer = footer
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
        self._shown = (-1, "")

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        self._live.stop()

    def draw(self) -> None:
        footer = self._footer()
        if (self._view.records, footer) != self._shown:
            self._shown = (self._view.records, footer)
            width, height = self._console.size
            body = self._view.render(ConsoleDimensions(width, height - 2))  # the footer and the cursor take two
            self._live.update(Group(body, Text(printable(footer), "dim")), refresh=True)

    async def run(self) -> None:
        """Draw until cancelled."""
        while True:
            self.draw()
            await asyncio.sleep(REFRESH_S)
