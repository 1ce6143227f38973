"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.django_core.cast import Cast


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Settings) -> None:
    """PBKDF2 takes the better part of a second a login."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()
