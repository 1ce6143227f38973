"""The documents name only what is there: commands, scripts, settings, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from mdds_site.env import MddsSettings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "client" / "README.md"])
# Settings that tools read and env.py does not.
OTHER_VARIABLES = {"MDDS_URL", "MDDS_API_KEY", "MDDS_API_URL", "MDDS_LINT", "MDDS_PYTHON", "MDDS_STREAMS"}
# Kinds of workers with a metrics port of their own.
KINDS = {"capture", "publisher", "parser", "gateway", "storage", "simulator", "replay"}


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def variables_read() -> set[str]:
    return set(re.findall(r'"(MDDS_[A-Z_]+)"', (ROOT / "mdds_site" / "env.py").read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_management_command_exists(document: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", document.read_text()))
    assert named - set(get_commands()) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_script_and_target_exists(document: Path) -> None:
    text = document.read_text()
    scripts = {name for name in re.findall(r"(?<![\w./])bin/([a-z]+)", text) if not (ROOT / "bin" / name).exists()}
    verbs = set(re.findall(r"`?make ([a-z]+)`", text)) - set(
        re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert (scripts, verbs) == (set(), set())


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_setting_is_read(document: Path) -> None:
    named = set(re.findall(r"\bMDDS_[A-Z_]+[A-Z]\b", document.read_text()))
    assert named - variables_read() - OTHER_VARIABLES == set()


def test_the_readme_lists_every_setting() -> None:
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(MDDS_[A-Z_]+)`", table)) == variables_read()


def test_the_runbook_names_the_metrics_ports() -> None:
    settings = MddsSettings(data_dir=Path("unused"), base_port=8000)
    named = re.findall(r"\b([a-z]+) (80\d\d)\b", (ROOT / "docs" / "runbook.md").read_text())
    ports = {kind: int(port) for kind, port in named if kind in KINDS}
    assert ports == {kind: settings.metrics_port(kind) for kind in ports}
    assert set(ports) == KINDS
