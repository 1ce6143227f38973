"""Knows which files of the tree are ours, and which of those are pure; both lists are in pyproject.toml.

`python -m tests.style.source_tree` prints the files for `mypy --strict`, which bin/test runs on them.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@cache
def rules() -> dict[str, Any]:
    """The `[tool.mdds]` table."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["tool"]["mdds"]
    return table


@dataclass(frozen=True)
class Source:
    """One Python file of ours."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path as people write it: relative to the root, with slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The dotted name."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def lines(self) -> int:
        return self.text.count("\n") + (not self.text.endswith("\n") and self.text != "")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.name)


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of ours, in order of path."""
    return tuple(Source(path, path.read_text(encoding="utf-8")) for path in sorted(_paths()))


def _paths() -> Iterator[Path]:
    style = rules()["style"]
    for name in style["roots"]:
        root = ROOT / name
        found = root.rglob("*.py") if root.is_dir() else [root] if root.exists() else []
        for path in found:
            relative = path.relative_to(ROOT)
            hidden = any(part.startswith(".") or part.endswith(".egg-info") for part in relative.parts)
            if not hidden and not any(
                relative.match(pattern) or _inside(relative, pattern) for pattern in style["exclude"]
            ):
                yield path


def _inside(relative: Path, pattern: str) -> bool:
    """True when one of the folders above the file has the name in `*/name/*`."""
    return pattern.strip("*/") in relative.parts[:-1]


@cache
def pure_sources() -> tuple[Source, ...]:
    """The pure files that exist."""
    return tuple(source for source in sources() if matches_any(source, rules()["pure"]["files"]))


def matches_any(source: Source, patterns: list[str]) -> bool:
    """True when the file's path fits one of the glob patterns, taken from the root."""
    return any(source.path.relative_to(ROOT).match(pattern) for pattern in patterns)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each absolute import, `TYPE_CHECKING` blocks left out."""
    for node in _run_time_nodes(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _run_time_nodes(other)
        else:
            yield from _run_time_nodes(child)


def main() -> None:
    """Print the files that `mypy --strict` must pass."""
    for source in pure_sources():
        print(source.name)


if __name__ == "__main__":
    main()
