"""A bounded run of coverage-guided fuzzing where atheris installs; the same target over hypothesis' bytes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeds.fix import framing
from tests.feeds.wire import book, framed, trade
from tests.fuzz.both_paths import by_both

ROOT = Path(__file__).resolve().parents[2]
RUNS = 1_500


def test_a_bounded_run(tmp_path: Path) -> None:
    """Ends with 0 after RUNS inputs; a crash, a hang of 10 s or a disagreement ends it with its input."""
    if find_spec("atheris") is None:
        print("atheris does not install here (no wheel for this Python or machine): hypothesis makes the bytes")
        by_hypothesis()
        return
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.atheris_target", f"-atheris_runs={RUNS}", "-timeout=10", "-max_len=2048",
         f"-artifact_prefix={tmp_path}/", str(corpus)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    assert f"Done {RUNS} in" in done.stderr


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=600))
def by_hypothesis(data: bytes) -> None:
    assert b"".join(span.data for span in framing.split(data)) == data
    layouts, general, _ = by_both([trade(1), book(1), data, framed(b"35=X\x01" + data.rstrip(b"\x01") + b"\x01")])
    assert layouts == general
