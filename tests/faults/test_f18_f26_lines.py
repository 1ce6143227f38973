"""F18 to F24, F26: loss on one line and both, duplicates, reordering, a dead line, silence, damage, a burst."""

from __future__ import annotations

import pytest

from testbed.evidence import published_gaps
from testbed.invariants.arbitration import counters_agree
from tests.faults.conftest import Started, assert_invariants, healed, records

pytestmark = [pytest.mark.services]

RATE = 1_500


def test_f18_f20_loss_on_one_line_and_duplicates(live: Started) -> None:
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.relay.set(0, loss=0.2, duplicate=0.05)
    path.relay.set(1, duplicate=0.1)
    path.flow_on(2_000)
    path.relay.heal()
    found = healed(path)
    assert_invariants(path, found)
    assert found.sums[0].relay_lost > 200
    assert found.sums[1].relay_doubled > 100
    assert found.publisher["missing"] == 0, "line B brought what A lost"
    assert counters_agree(found.publisher["lines"], unique=found.publisher["unique"]) == []


def test_f19_loss_on_both(live: Started) -> None:
    """What both lose is announced as exactly that, and what follows is healed."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(500)
    path.relay.set(loss_both=0.03)
    path.flow_on(2_000)
    path.relay.heal()
    found = healed(path)
    assert_invariants(path, found)
    gaps = published_gaps(records(found))
    assert found.publisher["missing"] == sum(map(len, gaps.values())) > 20
    assert counters_agree(found.publisher["lines"], unique=found.publisher["unique"]) == []


def test_f20_f21_reorder_inside_and_beyond_the_window(live: Started) -> None:
    """Inside the window nothing shows. Beyond it a gap is declared, the late copy's events come, its images do not."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.relay.set(reorder=0.1, duplicate=0.02)
    path.flow_on(1_500)
    path.relay.heal()
    path.flow_on(200)
    assert path.stats("publisher")["missing"] == 0
    path.relay.set(0, loss=0.05)
    path.relay.set(1, delay_ms=450)  # longer than the wait of 200 ms
    path.flow_on(1_500)
    path.relay.heal()
    found = healed(path)
    assert_invariants(path, found)
    lines = found.publisher["lines"]
    assert found.publisher["late"] > 10, lines
    assert counters_agree(lines, unique=found.publisher["unique"]) == []


def test_f22_f23_one_line_dead_then_both_silent(live: Started) -> None:
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.relay.set(1, loss=1.0)
    path.flow_on(1_000)
    path.relay.heal()
    path.flow_on(500)
    path.relay.set(loss=1.0)
    path.flow_on(700)
    path.relay.heal()
    found = healed(path)
    assert_invariants(path, found)
    silent = sum(map(len, published_gaps(records(found)).values()))
    assert 500 < silent < 900, "both silent: one gap a stream says how much is lost"


def test_f24_corrupted_copies(live: Started) -> None:
    """A damaged copy is a dead letter with reason and offset; the other line's sound copy passes."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(500)  # a definition of which both copies are damaged would leave its symbol without a name
    path.relay.set(0, corrupt=0.05)
    path.relay.set(1, corrupt=0.01)
    path.flow_on(2_000)
    path.relay.heal()
    found = healed(path)
    assert_invariants(path, found)
    assert len(found.dead) > 60
    assert {letter.reason for letter in found.dead} >= {"CHECKSUM"}
    assert found.publisher["missing"] <= 10, "both copies damaged: a chance of 1 in 2,000 a message"


def test_f26_a_burst_at_ten_times_the_rate(live: Started) -> None:
    path = live()
    path.start_all()
    path.start_exchange(rate=400, burst="10x:1s:2s")
    path.flow_on(5_000)
    found = healed(path)
    assert_invariants(path, found)
    assert sum(found.kernel_drops) == 0
    assert found.publisher["missing"] == 0
