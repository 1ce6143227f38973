"""Shows what the REST interface lists: instruments and usage, as tables or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mdds_client.cli.exit_codes import DONE, printable
from mdds_client.rest import Rest
from mdds_client.settings import client_settings


async def show_symbols(arguments: argparse.Namespace) -> int:
    rest = rest_of(arguments)
    rows: list[dict[str, Any]] = []
    async for row in rest.pages("instruments", "instruments", q=arguments.query or None, market=arguments.market):
        rows.append(row)
        if arguments.limit is not None and len(rows) == arguments.limit:
            break
    if _as_json(arguments):
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return DONE
    print_table(("symbol", "market", "isin", "name", "reference", "floor", "ceiling"), [_facts(row) for row in rows])
    return DONE


async def show_usage(arguments: argparse.Namespace) -> int:
    answer = await rest_of(arguments).get("usage")
    if _as_json(arguments):
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        return DONE
    rows = answer if isinstance(answer, list) else None
    if isinstance(answer, dict):
        scalars = {name: value for name, value in answer.items() if not isinstance(value, list | dict)}
        lists = [value for value in answer.values() if isinstance(value, list)]
        print_table(("", ""), scalars.items())
        rows = lists[0] if lists else None
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        print_table(names, [[row.get(name) for name in names] for row in rows])
    return DONE


def rest_of(arguments: argparse.Namespace) -> Rest:
    return Rest(client_settings(arguments.url, arguments.key, options={}))


def print_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Texts as they are, numbers to the right; nothing in it can steer the terminal."""
    found = [list(row) for row in rows]
    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(names))
    for place, name in enumerate(names):
        numeric = all(isinstance(row[place], int | float) or row[place] is None for row in found)
        table.add_column(name, justify="right" if numeric else "left", overflow="ellipsis")
    for row in found:
        table.add_row(*(_cell(value) for value in row))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _facts(row: Mapping[str, Any]) -> list[object]:
    """The prices of the main board, or of the only one there is."""
    boards = row.get("boards") or [{}]
    main = next((board for board in boards if board.get("board") == "G1"), boards[0])
    name = row.get("english_name") or row.get("name")
    return [
        row.get("symbol"),
        row.get("market"),
        row.get("isin"),
        name,
        *(main.get(m) for m in ("reference", "floor", "ceiling")),
    ]


def _as_json(arguments: argparse.Namespace) -> bool:
    return bool(arguments.json) or not sys.stdout.isatty()
