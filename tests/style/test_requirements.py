"""Requirements are pinned, and the pins lie inside the ranges that pyproject.toml promises."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tests.style.source_tree import ROOT, imports, sources

PIN = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==\d[0-9a-z.]*(; [^;]+)?$")
FIRST_PARTY = {"mdds_site", "portal", "replay", "subscriptions", "feeds", "benches", "testbed", "tests", "mdds_client"}
# Import name to distribution name, where they differ.
DISTRIBUTIONS = {"unfold": "django-unfold", "ninja": "django-ninja", "yaml": "pyyaml", "jwt": "pyjwt"}
# Parts of Django itself that Django requires and documents.
COMES_WITH_DJANGO = {"asgiref", "sqlparse"}


def lines_of(path: Path) -> list[str]:
    kept = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in kept if line]


def pins_of(path: Path) -> dict[str, str]:
    found = (Requirement(line) for line in lines_of(path) if not line.startswith("-r"))
    return {requirement.name: str(requirement.specifier).removeprefix("==") for requirement in found}


def test_every_requirement_is_pinned() -> None:
    loose = [
        f"{name}: {line!r} is not pinned with =="
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in lines_of(ROOT / name)
        if line != "-r requirements.txt" and not PIN.match(line)
    ]
    assert loose == []


def test_nothing_is_required_twice() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        ranges = [Requirement(line).name for line in tomllib.load(file)["project"]["dependencies"]]
    for names in (ranges, [Requirement(line).name for line in lines_of(ROOT / "requirements.txt")]):
        assert sorted(names) == sorted(set(names))


def test_pins_lie_inside_the_ranges() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        ranges = {r.name: r for r in map(Requirement, tomllib.load(file)["project"]["dependencies"])}
    pins = pins_of(ROOT / "requirements.txt")
    outside = [
        f"{name}: pinned {pin}, range {ranges[name].specifier}"
        for name, pin in pins.items()
        if name in ranges and not ranges[name].specifier.contains(pin)
    ]
    assert (sorted(set(pins) ^ set(ranges)), outside) == ([], [])


def test_the_product_imports_only_what_it_requires() -> None:
    required = set(pins_of(ROOT / "requirements.txt"))
    strange = [
        f"{source.name}:{line}: imports {name}, which is not in requirements.txt"
        for source in sources()
        if not source.name.startswith(("tests/", "client/", "benches/", "testbed/"))
        for line, name in imports(source)
        if (top := name.split(".")[0]) not in FIRST_PARTY
        and top not in sys.stdlib_module_names | COMES_WITH_DJANGO
        and DISTRIBUTIONS.get(top, top.replace("_", "-")) not in required
    ]
    assert strange == []


def test_security_minimums_hold() -> None:
    pins = pins_of(ROOT / "requirements.txt")
    versions = {name: tuple(int(part) for part in pins[name].split(".")) for name in ("daphne", "uvicorn")}
    assert versions["daphne"] >= (4, 2, 3)
    assert versions["uvicorn"] >= (0, 52, 4)
