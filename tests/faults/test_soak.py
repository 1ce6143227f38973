"""bin/soak itself: its timeline repeats with its seed, its ledger bites, a short run of the whole system is clean."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from benches.soak.ledger import Ledger
from benches.soak.options import FAULTS, parse
from benches.soak.timeline import timeline
from testbed.system import ROOT

RECORD = '{{"ch":"trade","s":"FPT","n":{n},"ep":"20261120-1","rx":{rx},"q":{q},"m":"STO","bd":"G1","mt":"X","p":{p}}}'


def text(n: int, q: int, *, rx: int = 5, p: str = "1.5") -> str:
    return RECORD.format(n=n, q=q, rx=rx, p=p)


def test_a_timeline_repeats_and_holds_every_fault() -> None:
    events = timeline(FAULTS, 600, 7)
    assert events == timeline(FAULTS, 600, 7) != timeline(FAULTS, 600, 8)
    assert {event.name for event in events} == set(FAULTS) - {"burst"}
    assert all(a.at_s + a.lasts_s < b.at_s for a, b in itertools.pairwise(events))
    assert events[-1].at_s + events[-1].lasts_s <= 600
    assert timeline((), 600, 7) == timeline(("burst",), 600, 7) == []


def test_the_ledger_settles_both_ways_round() -> None:
    ledger = Ledger()
    ledger.expect(text(1, 1))
    ledger.arrive(text(9, 1, rx=99))
    ledger.arrive(text(10, 2))
    assert ledger.lag == 1
    ledger.expect(text(2, 2))
    assert (ledger.settled, ledger.close()) == (2, [])


def test_the_ledger_bites() -> None:
    ledger = Ledger()
    for record in (text(1, 1), text(2, 2), text(3, 3)):
        ledger.expect(record)
    ledger.arrive(text(1, 1, p="9.9"))
    ledger.arrive(text(2, 2))
    ledger.arrive(text(3, 2))
    ledger.arrive(text(5, 4))
    ledger.arrive("nonsense")
    codes = [found.split()[0].rstrip(":") for found in ledger.close()]
    assert codes == ["I8", "I5", "I7", "I5", "I5"]


@pytest.mark.parametrize(
    "arguments", [["--faults", "rain"], ["--rate", "0"], ["--minutes", "-1"], ["--cap", "/nowhere"]]
)
def test_what_it_cannot_do_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_short_run_is_clean() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benches.soak",
            "--minutes",
            "0.25",
            "--rate",
            "800",
            "--faults",
            "loss,parser,publisher",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean: 0 violations" in done.stdout
