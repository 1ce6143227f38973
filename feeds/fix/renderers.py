"""Compiles a layout's emissions into one Python function that writes their texts from a match's groups.

`%` over a picked tuple formats the same texts at half as much again (54-field case: 1.6 µs against 1.1 µs). The
function is built as a syntax tree, never as source text: what a message said is a constant in it and cannot be code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import cast

# A text's pieces: literal text, or the number of the group that stands there.
Piece = str | int
Groups = tuple[str, ...]
Record = Callable[[str, int, str, int, Groups], str]
Texts = Callable[[Groups], tuple[str, ...]]


def record_renderer(pieces: Sequence[Piece], groups: int) -> Record:
    """`(head, n, mid, rx_ns, groups) -> record`: the stream's head, its number, the epoch's text and the body."""
    arguments = ("head", "n", "mid", "rx_ns")
    opening = [_shown(name) for name in arguments]
    body = [_unpacked(pieces, groups), ast.Return(_joined([*opening, *_values(pieces)]))]
    return cast(Record, _compiled((*arguments, "groups"), body))


def texts_renderer(texts: Sequence[Sequence[Piece]], groups: int) -> Texts:
    """`(groups) -> one text per emission`."""
    every = [piece for pieces in texts for piece in pieces]
    values = ast.Tuple([_joined(_values(pieces)) for pieces in texts], ast.Load())
    return cast(Texts, _compiled(("groups",), [_unpacked(every, groups), ast.Return(values)]))


def _values(pieces: Sequence[Piece]) -> list[ast.expr]:
    """Neighbouring literals are one constant."""
    values: list[ast.expr] = []
    literal = ""
    for piece in pieces:
        if isinstance(piece, str):
            literal += piece
            continue
        if literal:
            values.append(ast.Constant(literal))
            literal = ""
        values.append(_shown(f"group_{piece}"))
    return [*values, ast.Constant(literal)] if literal else values


def _unpacked(pieces: Sequence[Piece], groups: int) -> ast.stmt:
    """`group_0, group_1, … = groups`; groups that no text needs share one name."""
    used = {piece for piece in pieces if isinstance(piece, int)}
    names: list[ast.expr] = [ast.Name(f"group_{i}" if i in used else "_", ast.Store()) for i in range(groups)]
    return ast.Assign([ast.Tuple(names, ast.Store())], ast.Name("groups", ast.Load()))


def _shown(name: str) -> ast.expr:
    return ast.FormattedValue(ast.Name(name, ast.Load()), -1, None)


def _joined(values: list[ast.expr]) -> ast.expr:
    return ast.JoinedStr(values)


def _compiled(arguments: Sequence[str], body: list[ast.stmt]) -> Callable[..., object]:
    function = ast.FunctionDef(
        name="render",
        args=ast.arguments([], [ast.arg(name) for name in arguments], None, [], [], None, []),
        body=body,
        decorator_list=[],
    )
    module = ast.fix_missing_locations(ast.Module([function], []))
    scope: dict[str, Callable[..., object]] = {}
    exec(compile(module, "<layout>", "exec"), {"__builtins__": {}}, scope)
    return scope["render"]
