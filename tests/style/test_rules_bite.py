"""The checks of this folder see what they are there to see, shown on made-up files."""

from __future__ import annotations

import ast
import textwrap

from tests.style.source_tree import ROOT, Source, imports, matches_any, pure_sources, rules, sources
from tests.style.test_limits import LEFT_BEHIND, docstring_faults, functions, missing_annotations, positional
from tests.style.test_pure_files import graph


def made_up(text: str) -> Source:
    return Source(ROOT / "feeds" / "made_up.py", textwrap.dedent(text))


def test_imports_are_seen_wherever_they_stand() -> None:
    source = made_up(
        """
        import asyncio
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import socket
        else:
            import celery
        def late() -> None:
            from django.conf import settings
        """
    )
    assert list(imports(source)) == [(2, "asyncio"), (3, "typing"), (7, "celery"), (9, "django.conf")]


def test_missing_types_are_named() -> None:
    source = made_up("class A:\n    def f(self, a: int, b, *c, d=1, **e):\n        pass\n")
    found = [text for node in functions(source) for text in missing_annotations(source, node)]
    assert found == [
        "feeds/made_up.py:2: f does not say what it returns",
        "feeds/made_up.py:2: f: parameter b has no type",
        "feeds/made_up.py:2: f: parameter d has no type",
        "feeds/made_up.py:2: f: parameter c has no type",
        "feeds/made_up.py:2: f: parameter e has no type",
    ]


def test_self_is_not_a_parameter_and_keyword_only_is_not_positional() -> None:
    node = ast.parse("def f(self, a, b, /, c, *, d): ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    assert positional(node) == ["a", "b", "c"]


def test_docstrings_are_asked_for() -> None:
    assert list(docstring_faults(made_up("x = 1\n"))) == [
        "feeds/made_up.py:1: no module docstring; its first sentence says the one thing the file does"
    ]
    assert list(docstring_faults(made_up('"""no sentence here"""\n'))) == [
        "feeds/made_up.py:1: the module docstring has no sentence: 'no sentence here'"
    ]
    assert list(docstring_faults(made_up('"""Says what it does."""\n'))) == []


def test_marks_left_behind_are_seen() -> None:
    assert LEFT_BEHIND.search("    # TO" + "DO later")
    assert LEFT_BEHIND.search("    raise Not" + "ImplementedError")
    assert not LEFT_BEHIND.search("    except NotImplementedError:  # no signals on this system")


def test_the_tree_is_ours_and_only_ours() -> None:
    names = {source.name for source in sources()}
    assert {"manage.py", "testbed/process.py", "tests/style/test_rules_bite.py", "feeds/blocks.py"} <= names
    assert not [name for name in names if "/migrations/" in name or ".venv" in name or "/static/" in name]


def test_patterns_are_taken_from_the_root() -> None:
    [blocks] = [source for source in sources() if source.name == "feeds/blocks.py"]
    assert matches_any(blocks, ["feeds/*.py"])
    assert not matches_any(blocks, ["feeds/fix/*.py"])
    assert blocks in pure_sources()
    assert rules()["pure"]["forbidden"] == ["django", "channels", "celery", "aio_pika", "asyncio", "socket"]


def test_reach_is_seen_through_other_files() -> None:
    assert "feeds.worker" in graph().find_downstream_modules("asyncio")
