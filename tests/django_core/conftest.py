"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from tests.django_core.cast import Cast


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()
