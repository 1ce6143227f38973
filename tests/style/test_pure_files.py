"""Pure files stay pure: neither they nor anything they import reaches a framework, an event loop or a socket."""

from __future__ import annotations

from functools import cache

import grimp
import pytest

from tests.style.source_tree import ROOT, imports, matches_any, pure_sources, rules, sources

FORBIDDEN = tuple(rules()["pure"]["forbidden"])
PRODUCT = ("feeds", "subscriptions", "replay", "portal", "mdds_site")
# The doors are for the product; tests, benches and the client speak to the outside as they need.
FREE = ("tests/", "benches/", "testbed/", "client/")


def test_every_pattern_of_the_list_finds_a_file() -> None:
    patterns = {"pure.files": rules()["pure"]["files"], **{f"doors.{k}": v for k, v in rules()["doors"].items()}}
    stale = [
        f"pyproject.toml [tool.mdds.{name}] {pattern}: no such file"
        for name, wanted in patterns.items()
        for pattern in wanted
        if not any(ROOT.glob(pattern))
    ]
    if stale:
        pytest.fail("\n".join(stale), pytrace=False)


def test_pure_files_import_nothing_that_waits_or_talks() -> None:
    broken = [
        f"{source.name}:{line}: imports {name}; a pure file imports none of {', '.join(FORBIDDEN)}"
        for source in pure_sources()
        for line, name in imports(source)
        if name.split(".")[0] in FORBIDDEN
    ]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


@cache
def graph() -> grimp.ImportGraph:
    present = [name for name in PRODUCT if (ROOT / name / "__init__.py").exists()]
    return grimp.build_graph(*present, include_external_packages=True, exclude_type_checking_imports=True)


def test_pure_files_reach_nothing_that_waits_or_talks() -> None:
    pure = {source.module: source for source in pure_sources()}
    broken = [
        f"{pure[module].name}: reaches {name} through {' > '.join(graph().find_shortest_chain(module, name) or ())}"
        for name in FORBIDDEN
        if name in graph().modules
        for module in sorted(pure.keys() & graph().find_downstream_modules(name))
    ]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


@pytest.mark.parametrize("module", sorted(rules()["doors"]))
def test_each_technology_has_one_door(module: str) -> None:
    doors = rules()["doors"][module]
    broken = [
        f"{source.name}:{line}: imports {name}; only {', '.join(doors)} may"
        for source in sources()
        if not source.name.startswith(FREE) and not matches_any(source, doors)
        for line, name in imports(source)
        if name == module or name.startswith(f"{module}.")
    ]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
