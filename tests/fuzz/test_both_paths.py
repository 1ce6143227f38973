"""Both parse paths agree on every input: the same records, dead letters, counts and state."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from feeds.fix.reference import Record, reference_records
from feeds.parser.translator import Translator
from tests.feeds.test_reference import read
from tests.feeds.valid_messages import Shape, shapes
from tests.feeds.wire import framed, trade
from tests.fuzz.both_paths import by_both
from tests.fuzz.mutations import JUNK, traffic

thorough = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(traffic())
def test_messages_sound_and_mutated(datagrams: list[bytes]) -> None:
    layouts, general, translator = by_both(datagrams)
    assert layouts == general
    for record in layouts.records:
        json.loads(record)
    event("by layout" if translator.layouts else "general path only")
    event(f"{len(layouts.dead)} dead letters")


@thorough
@given(st.lists(traffic(), min_size=2, max_size=4))
def test_layouts_of_other_shapes_do_not_get_in_the_way(batches: list[list[bytes]]) -> None:
    """One translator over several streams: what it has learnt of one shape decides nothing about another."""
    translator = Translator()
    for datagrams in batches:
        layouts, general, _ = by_both(datagrams, translator)
        assert layouts == general


@thorough
@given(st.lists(JUNK, max_size=12))
def test_raw_bytes(datagrams: list[bytes]) -> None:
    layouts, general, _ = by_both(datagrams)
    assert layouts == general
    kept = sum(len(data) for _reason, _offset, data in layouts.dead)
    assert kept <= sum(len(data) for data in datagrams)


NAMES = st.binary(min_size=1, max_size=4).filter(lambda name: b"\x01" not in name)


@thorough
@given(NAMES)
def test_a_sound_frame_of_any_type_harms_nothing_else(name: bytes) -> None:
    """A type need not be text; the messages beside it pass."""
    rest = b"49=VNMGW\x0156=99999\x0134=1\x0152=20261120 02:15:00.123\x0130001=STO\x0120004=G1\x0155=VN000000FPT1\x01"
    stranger = framed(b"35=" + name + b"\x01" + rest)
    layouts, general, _ = by_both([trade(1), stranger, trade(2)])
    assert layouts == general
    assert sum('"ch":"trade"' in record for record in layouts.records) == 2


@thorough
@given(shapes(), st.lists(JUNK, min_size=4, max_size=4))
def test_sound_messages_between_junk_are_what_simplefix_reads(shape: Shape, junk: list[bytes]) -> None:
    figures: dict[tuple[str, str], Record] = {}
    tickers: dict[str, str] = {}
    wanted: list[Record] = []
    datagrams: list[bytes] = []
    for sequence, values in enumerate(shape.values, start=1):
        data = shape.message(sequence, values)
        datagrams += [junk[sequence - 1], data]
        body = dict(values)
        if shape.msg_type == "d" and body.get(30624):
            tickers[str(body[55])] = str(body[30624])
        wanted += reference_records(data, tickers, figures)
    layouts, general, _ = by_both(datagrams)
    assert layouts == general
    assert [read(record) for record in layouts.records if '"mt":"feed"' not in record] == wanted
