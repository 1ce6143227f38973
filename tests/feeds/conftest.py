"""What is collected here: the tests on recorded data only where the recordings lie beside the project."""

from __future__ import annotations

from tests.conftest import SHARED_DATA

collect_ignore = [] if (SHARED_DATA / "krx_samples.fix").is_file() else ["test_krx_samples.py"]
