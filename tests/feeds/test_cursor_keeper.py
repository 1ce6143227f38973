"""The cursor file follows what is offered: the newest wins, a refused save is tried again, the end saves the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.capture import cursor_keeper
from feeds.capture.cursor import Cursor, load_cursor
from feeds.capture.cursor_keeper import INTERVAL_NS, CursorKeeper
from feeds.journal import Position
from tests.feeds.buses import until


def cursor(offset: int) -> Cursor:
    return Cursor(Position("20261120-0001.mdj", offset), {"epoch": 1})


async def test_the_newest_is_saved_in_time_and_the_rest_at_the_end(tmp_path: Path) -> None:
    keeper = CursorKeeper(tmp_path / "publisher.cursor")
    keeper.offer(cursor(1))
    keeper.offer(cursor(2))
    keeper.save_soon(INTERVAL_NS)
    await until(lambda: keeper.path.exists() and load_cursor(keeper.path) == cursor(2))
    await until(lambda: keeper._saving is None)
    keeper.offer(cursor(3))
    keeper.save_soon(INTERVAL_NS + 1)  # too soon
    assert keeper._saving is None
    await keeper.close()
    assert load_cursor(keeper.path) == cursor(3)
    keeper.offer(cursor(4))  # the last checkpoint of a co-located parser comes behind its publisher's end
    assert load_cursor(keeper.path) == cursor(4)


async def test_a_refused_save_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = CursorKeeper(tmp_path / "publisher.cursor")

    def full(_path: Path, _cursor: Cursor) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cursor_keeper, "save_cursor", full)
        keeper.offer(cursor(1))
        keeper.save_soon(INTERVAL_NS)
        await until(lambda: keeper.failures == 1 and keeper._saving is None)
    keeper.save_soon(2 * INTERVAL_NS)
    await until(lambda: keeper.path.exists() and keeper._saving is None)
    assert load_cursor(keeper.path) == cursor(1)


async def test_offered_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was offered meanwhile is newer than what a failing save puts back."""
    keeper = CursorKeeper(tmp_path / "publisher.cursor")
    keeper.offer(cursor(1))

    def slow(_path: Path, _cursor: Cursor) -> None:
        keeper.offer(cursor(2))
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(cursor_keeper, "save_cursor", slow)
        keeper.save_soon(INTERVAL_NS)
        await asyncio.wait({keeper._saving})  # type: ignore[arg-type]
    await keeper.close()
    assert load_cursor(keeper.path) == cursor(2)
