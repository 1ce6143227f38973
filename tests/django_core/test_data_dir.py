"""The data folder and the secret key that is generated into it."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from mdds_site.data_dir import prepare
from mdds_site.env import MddsSettings


def test_the_key_is_generated_once_and_private(tmp_path: Path) -> None:
    wanted = MddsSettings(data_dir=tmp_path / "a" / "var")
    first, problems = prepare(wanted)
    second, _ = prepare(wanted)
    assert problems == ()
    assert first.secret_key == second.secret_key
    assert len(first.secret_key) >= 50
    path = tmp_path / "a" / "var" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["secret_key", "static"]


def test_a_given_key_is_used_and_not_written(tmp_path: Path) -> None:
    given = MddsSettings(data_dir=tmp_path, secret_key="k" * 50)
    assert prepare(given) == (given, ())
    assert not (tmp_path / "secret_key").exists()


def test_a_key_file_is_read_and_must_hold_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    wanted = MddsSettings(data_dir=tmp_path, secret_key_file=path)
    assert [problem.variable for problem in prepare(wanted)[1]] == ["MDDS_SECRET_KEY_FILE"]
    path.write_text("short\n")
    assert "found 5" in prepare(wanted)[1][0].expected
    path.write_text("k" * 64 + "\n")
    assert prepare(wanted) == (replace(wanted, secret_key="k" * 64), ())


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings, problems = prepare(MddsSettings(data_dir=tmp_path / "file" / "var"))
    assert [problem.variable for problem in problems] == ["MDDS_DATA"]
    assert len(settings.secret_key) >= 50
