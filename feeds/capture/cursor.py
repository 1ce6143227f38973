"""The publisher's durable cursor: how far the broker has confirmed, and the arbitration state at that place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from feeds.journal import START, Position


class Cursor(NamedTuple):
    """Read on from `position` with the stage restored from `state`."""

    position: Position
    state: dict[str, object] | None


class CursorRefused(ValueError):
    """The cursor file cannot be read; the text names it. Removing it publishes the journal again from its start."""


def load_cursor(path: Path) -> Cursor:
    """The saved cursor; the journal's start when there is none."""
    try:
        value = json.loads(path.read_bytes())
        return Cursor(Position(*value["position"]), value["state"])
    except FileNotFoundError:
        return Cursor(START, None)
    except (ValueError, KeyError, TypeError) as error:
        raise CursorRefused(f"{path}: no cursor ({type(error).__name__}: {error})") from error


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new cursor."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"position": list(cursor.position), "state": cursor.state}))
    temporary.replace(path)
