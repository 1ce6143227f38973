"""The limits of the house style hold in every file of ours: sizes, parameters, annotations, names, docstrings."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator

import pytest

from tests.style.source_tree import Source, rules, sources

STYLE = rules()["style"]
# Spelt in halves, or this file would break its own rule.
LEFT_BEHIND = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "raise Not" + "ImplementedError")) + r")\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Names whose parameters a framework gives: it calls them by position, so the two-positional rule cannot hold.
FRAMEWORK_SIGNATURES = {
    "__exit__",
    "__aexit__",
    "__call__",
    "formfield_for_foreignkey",
    "formfield_for_manytomany",
    "formfield_for_dbfield",
    "save_model",
    "save_related",
    "save_formset",
    "log_change",
    "render_change_form",
    "response_change",
    "changeform_view",
    "get_form",
    "get_inline_formset",
    "process_exception",
    "emit",
    "recvmsg",
}


def functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def is_test_file(source: Source) -> bool:
    return source.name.startswith(("tests/", "client/tests/"))


def refuse(broken: list[str]) -> None:
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


def test_there_is_something_to_check() -> None:
    assert len(sources()) > 20


def test_no_file_is_too_long() -> None:
    most = STYLE["lines_max"]
    refuse([f"{s.name}: {s.lines} lines, at most {most}: cut it in two" for s in sources() if s.lines > most])


def test_the_middle_file_is_short() -> None:
    lengths = [source.lines for source in sources() if source.lines > 1]
    assert statistics.median(lengths) <= STYLE["median_lines_max"]


def test_no_function_is_too_long() -> None:
    most = STYLE["function_lines_max"]
    refuse(
        [
            f"{source.name}:{node.lineno}: {node.name} has {length} lines, at most {most}"
            for source in sources()
            for node in functions(source)
            if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > most
        ]
    )


def test_no_function_takes_too_many_parameters() -> None:
    most = STYLE["parameters_max"]
    refuse(
        [
            f"{source.name}:{node.lineno}: {node.name} takes {count} parameters, at most {most}"
            for source in sources()
            for node in functions(source)
            if node.name not in FRAMEWORK_SIGNATURES
            and not (is_test_file(source) and (node.name.startswith("test_") or is_fixture(node)))
            and (count := len(positional(node)) + len(node.args.kwonlyargs)) > most
        ]
    )


def test_parameters_beyond_the_first_few_are_keyword_only() -> None:
    """What other files call; a private function is read beside its callers."""
    most = STYLE["positional_max"]
    refuse(
        [
            f"{source.name}:{node.lineno}: {node.name} takes {len(names)} by position ({', '.join(names)}), "
            f"at most {most}: put a * before the rest"
            for source in sources()
            if not is_test_file(source)
            for node in functions(source)
            if node.name not in FRAMEWORK_SIGNATURES and not node.decorator_list and not is_private(node)
            if len(names := positional(node)) > most
        ]
    )


def positional(node: Function) -> list[str]:
    """Names of the parameters that can be given by position, `self` and `cls` left out."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def is_private(node: Function) -> bool:
    return node.name.startswith("_") and not node.name.endswith("__")


def is_fixture(node: Function) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_every_function_is_annotated() -> None:
    refuse([text for source in sources() for node in functions(source) for text in missing_annotations(source, node)])


def missing_annotations(source: Source, node: Function) -> Iterator[str]:
    where = f"{source.name}:{node.lineno}: {node.name}"
    if node.returns is None:
        yield f"{where} does not say what it returns"
    arguments = [*node.args.posonlyargs, *node.args.args]
    if arguments and arguments[0].arg in ("self", "cls"):
        arguments = arguments[1:]
    rest = [argument for argument in (node.args.vararg, node.args.kwarg) if argument is not None]
    for argument in (*arguments, *node.args.kwonlyargs, *rest):
        if argument.annotation is None:
            yield f"{where}: parameter {argument.arg} has no type"


def test_no_file_has_a_name_that_says_nothing() -> None:
    refuse(
        [
            f"{source.name}: a thing lives with what it describes, not in {part}"
            for source in sources()
            for part in (source.path.name, *source.path.parent.relative_to(source.path.parents[-1]).parts)
            if part in STYLE["forbidden_names"] or (part in STYLE["forbidden_folders"] and f"{part}/" in source.name)
        ]
    )


def test_every_file_says_what_it_does() -> None:
    refuse([text for source in sources() if source.text.strip() for text in docstring_faults(source)])


def docstring_faults(source: Source) -> Iterator[str]:
    docstring = ast.get_docstring(source.tree)
    if not docstring:
        yield f"{source.name}:1: no module docstring; its first sentence says the one thing the file does"
    elif not re.search(r"[.:;?](\s|$)", docstring):
        yield f"{source.name}:1: the module docstring has no sentence: {docstring[:60]!r}"


def test_nothing_is_left_for_later() -> None:
    refuse(
        [
            f"{source.name}:{number}: {found.group()} left behind"
            for source in sources()
            for number, line in enumerate(source.text.splitlines(), 1)
            if (found := LEFT_BEHIND.search(line))
        ]
    )
