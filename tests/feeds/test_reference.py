"""The general path and the layout path say of every valid message what the simplefix reference says."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import HealthCheck, event, given, settings

from feeds.fix.reference import Record, reference_records
from tests.feeds.data_path import DataPath
from tests.feeds.valid_messages import Shape, shapes

OWN = ("n", "ep", "rx")
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(record: str) -> Record:
    value: Record = json.loads(record, parse_int=Decimal, parse_float=Decimal)
    return {name: member for name, member in value.items() if name not in OWN}


def records_of(path: DataPath, *messages: bytes) -> list[Record]:
    path.arrive(*messages)
    records = [read(record) for record in path.finish()]
    assert path.dead == []
    return records


@quick
@given(shapes())
def test_three_readings_agree(shape: Shape) -> None:
    """The first message of a shape goes the general path; the second, of other values, may go by the layout."""
    path = DataPath(partitions=1)
    figures: dict[tuple[str, str], Record] = {}
    for sequence, values in enumerate(shape.values, start=1):
        data = shape.message(sequence, values)
        assert records_of(path, data) == reference_records(data, path.tickers, figures)
    event(f"{shape.msg_type}: {'by layout' if path.translator.by_general < len(shape.values) else 'general only'}")


@quick
@given(shapes())
def test_byte_equal_by_either_path(shape: Shape) -> None:
    """A message parsed after others of its shape has the text it has when it is the first."""
    learnt = DataPath(partitions=1)
    for sequence, values in enumerate(shape.values, start=1):
        data = shape.message(sequence, values)
        learnt.arrive(data)
        learnt.finish()
        fresh = DataPath(partitions=1)
        fresh.now_ns = learnt.now_ns - 1_000_000
        fresh.arrive(data)
        fresh.finish()
        assert own_members(learnt.records[-1], data) == own_members(fresh.records[-1], data)


def own_members(record: str, data: bytes) -> str:
    """What follows the numbering. Statistics carry figures of earlier messages, so only their head is compared."""
    text = record[record.index(',"q":') :]
    return text if '{"ch":"stats"' not in record else text[: text.index(',"o":')]
