"""Seeded faults: reproducible, by number, nothing lost that was not decided."""

from collections import Counter

import pytest

from feeds.simulator.faults import (
    CORRUPTED,
    DUPLICATED,
    LOST,
    LOST_ON_BOTH,
    REORDERED,
    SENT,
    FaultRates,
    LineFaults,
    SharedLoss,
)

COUNT = 4000
DATAGRAMS = [b"%d" % number for number in range(COUNT)]


def run(faults: LineFaults) -> tuple[list[int], list[bytes]]:
    fates, out = [], []
    for data in DATAGRAMS:
        fate, copies = faults.route(data)
        fates.append(fate)
        out += copies
    return fates, out + faults.flush()


def faults_of(seed: int = 1, line: str = "A", **rates: float) -> LineFaults:
    return LineFaults(FaultRates(**rates), seed=seed, feed="STO", line=line)


def test_no_fault_changes_nothing() -> None:
    assert run(faults_of()) == ([SENT] * COUNT, DATAGRAMS)


def test_the_same_seed_harms_the_same_datagrams() -> None:
    rates = {"loss": 0.02, "duplicate": 0.02, "reorder": 0.05, "corrupt": 0.01}
    assert run(faults_of(seed=3, **rates)) == run(faults_of(seed=3, **rates))
    assert run(faults_of(seed=3, **rates)) != run(faults_of(seed=4, **rates))
    assert run(faults_of(seed=3, line="A", **rates)) != run(faults_of(seed=3, line="B", **rates))


def test_loss_leaves_out_what_its_fates_say() -> None:
    faults = faults_of(loss=0.02)
    fates, out = run(faults)
    assert out == [data for data, fate in zip(DATAGRAMS, fates, strict=True) if fate != LOST]
    assert 40 < faults.counts["lost"] == fates.count(LOST) < 130


def test_a_fault_of_another_kind_does_not_move_the_losses() -> None:
    alone, _ = run(faults_of(loss=0.02))
    together, _ = run(faults_of(loss=0.02, duplicate=0.1))
    assert [fate & LOST for fate in alone] == [fate & LOST for fate in together]


def test_duplicates_come_twice() -> None:
    fates, out = run(faults_of(duplicate=0.05))
    twice = {data for data, count in Counter(out).items() if count == 2}
    assert twice == {data for data, fate in zip(DATAGRAMS, fates, strict=True) if fate & DUPLICATED}
    assert len(twice) > 100


def test_reordered_datagrams_are_overtaken_by_at_most_three() -> None:
    fates, out = run(faults_of(reorder=0.05))
    assert sorted(out, key=int) == DATAGRAMS
    late = [place - int(data) for place, data in enumerate(out) if fates[int(data)] & REORDERED]
    assert len(late) > 100
    assert set(late) <= {0, 1, 2, 3}
    assert sum(late) > 100


def test_a_damaged_datagram_differs_in_one_byte() -> None:
    fates, out = run(faults_of(corrupt=0.05))
    assert len(out) == COUNT
    for before, after, fate in zip(DATAGRAMS, out, fates, strict=True):
        changed = sum(one != other for one, other in zip(before, after, strict=True))
        assert changed == (1 if fate & CORRUPTED else 0)


def test_lost_on_both_is_lost_whatever_the_rates() -> None:
    faults = faults_of(duplicate=1.0)
    assert faults.route(b"x", lost_on_both=True) == (LOST | LOST_ON_BOTH, [])
    assert faults.route(b"y") == (DUPLICATED, [b"y", b"y"])


def test_shared_loss_by_number_and_by_chance() -> None:
    by_number = SharedLoss(ranges=((3, 4), (7, 7)), seed=1, feed="STO")
    assert [number for number in range(1, 10) if by_number.takes(number)] == [3, 4, 7]
    by_chance = SharedLoss(0.01, seed=1, feed="STO")
    again = SharedLoss(0.01, seed=1, feed="STO")
    taken = [number for number in range(1, 5000) if by_chance.takes(number)]
    assert taken == [number for number in range(1, 5000) if again.takes(number)]
    assert 25 < len(taken) < 80


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 1 expected, found {share}"):
        FaultRates(loss=share)
