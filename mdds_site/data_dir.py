"""Prepares the data folder: makes it, and keeps the generated secret key in it."""

import os
import secrets
from dataclasses import replace
from pathlib import Path

from mdds_site.env import MddsSettings, Problem


def prepare(settings: MddsSettings) -> tuple[MddsSettings, tuple[Problem, ...]]:
    """The settings with a secret key, or the problem that kept the folder or the key from being used."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (settings.data_dir / "static").mkdir(exist_ok=True)  # WhiteNoise warns of a STATIC_ROOT that is missing
    except OSError as error:
        problem = Problem("MDDS_DATA", str(settings.data_dir), f"a folder this user may write ({error.strerror})")
        return replace(settings, secret_key=settings.secret_key or secrets.token_urlsafe(64)), (problem,)
    if settings.secret_key:
        return settings, ()
    path = settings.secret_key_file or settings.data_dir / "secret_key"
    variable = "MDDS_SECRET_KEY_FILE" if settings.secret_key_file else "MDDS_DATA"
    try:
        key = path.read_text().strip() if settings.secret_key_file else _read_or_make(path)
    except OSError as error:
        problem = Problem(variable, str(path), f"a file this user may read ({error.strerror})")
        return replace(settings, secret_key=secrets.token_urlsafe(64)), (problem,)
    if len(key) < 50:
        problem = Problem(variable, str(path), f"a key of at least 50 characters in the file, found {len(key)}")
        return replace(settings, secret_key=secrets.token_urlsafe(64)), (problem,)
    return replace(settings, secret_key=key), ()


def _read_or_make(path: Path) -> str:
    """The key in the file; when there is none, a new one, written whole before it gets its name (two may start)."""
    if path.exists():
        return path.read_text().strip()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(64) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
