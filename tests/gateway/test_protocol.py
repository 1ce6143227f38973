"""The inbound half of the protocol: what is read, and what is refused with which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import protocol
from subscriptions.close_codes import CloseCode, close_reason, may_reconnect
from subscriptions.protocol import ProtocolError


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ('{"op":"ping"}', protocol.Ping(None)),
        ('{"op":"auth","id":1,"key":"k"}', protocol.Authenticate(1, "k")),
        ('{"op":"auth","token":"j.w.t"}', protocol.Authenticate(None, "j.w.t")),
        ('{"op":"unsub","id":"a","sid":12}', protocol.Unsubscribe("a", 12)),
        ('{"op":"list","id":2,"ch":"depth"}', protocol.ListSubscriptions(2, "depth")),
        (
            '{"op":"sub","id":7,"ch":"depth","symbols":["FPT","VNM","FPT"],"depth":10,"snapshot":true,'
            '"conflate_ms":250,"on_slow":"conflate"}',
            protocol.Subscribe(
                7, "depth", ("FPT", "VNM"), depth=10, snapshot=True, conflate_ms=250, on_slow="conflate"
            ),
        ),
        (
            '{"op":"sub","ch":"trade","symbols":["FPT"],"resume":{"FPT":["20261120-1",18233]},"origin":"replay:12"}',
            protocol.Subscribe(
                None, "trade", ("FPT",), origin="replay:12", resume=(("FPT", "20261120-1", 18233),)
            ),
        ),
        ('{"op":"sub","ch":"status","symbols":["feed:HSX","board:STO.G1"]}',
         protocol.Subscribe(None, "status", ("feed:HSX", "board:STO.G1"))),
    ],
)  # fmt: skip
def test_operations(text: str, operation: protocol.Operation) -> None:
    assert protocol.parse(text) == operation
    assert protocol.parse(text.encode()) == operation


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"op": "sub", "ch": "trade"}, "symbols: expected a list of 1 to 1024 symbols, got None"),
        ({"op": "sub", "ch": "trade", "symbols": ["x"] * 1025}, "got a list of 1025"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT", 7]}, "got 7"),
        ({"op": "sub", "ch": "trade", "symbols": ['a"b']}, "without spaces or quotes"),
        ({"op": "sub", "ch": "trade", "symbols": ["*", "FPT"]}, '["*"] alone'),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "depth": 5}, "no depth on this channel"),
        ({"op": "sub", "ch": "depth", "symbols": ["FPT"], "depth": True}, "depth: expected one of"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "conflate_ms": 75}, "conflate_ms: expected one of"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "on_slow": "panic"}, "on_slow: expected one of"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "snapshot": 1}, "snapshot: expected true or false"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "origin": "replay:x"}, "origin: expected live"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "resume": {"VNM": ["e", 1]}}, "symbols of this sub"),
        ({"op": "sub", "ch": "trade", "symbols": ["FPT"], "resume": {"FPT": ["e", -1]}}, "resume.FPT"),
        ({"op": "auth"}, "exactly one of key and token"),
        ({"op": "auth", "key": "a", "token": "b"}, "exactly one of key and token"),
        ({"op": "unsub", "sid": "1"}, "sid: expected an integer"),
        ({"op": "unsub", "sid": True}, "sid: expected an integer"),
        ({"op": "ping", "id": 1.5}, "id: expected"),
        ({"op": "ping", "id": "x" * 65}, "id: expected"),
        ({"op": 7}, "op: expected a text"),
    ],
)
def test_a_bad_parameter_is_named_with_found_and_expected(message: dict[str, object], words: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.parse(json.dumps(message))
    assert refused.value.code == "BAD_PARAM"
    assert words in refused.value.message


def test_the_id_of_a_refused_operation_comes_back() -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.parse('{"op":"sub","id":7,"ch":"nothing","symbols":["FPT"]}')
    assert (refused.value.id, refused.value.fatal) == (7, False)


def test_sizes_are_counted_in_bytes() -> None:
    fits = '{"op":"auth","key":"' + "é" * 4_000 + '"}'
    assert isinstance(protocol.parse(fits), protocol.Authenticate)
    with pytest.raises(ProtocolError) as refused:
        protocol.parse('{"op":"auth","key":"' + "é" * 8_192 + '"}')
    assert (refused.value.code, refused.value.fatal) == ("TOO_LARGE", True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
)
NAMES = st.sampled_from(["op", "id", "ch", "symbols", "sid", "depth", "key", "resume", "origin"])
VALUES = JSON | st.sampled_from(["sub", "unsub", "ping", "list", "auth", "trade", "depth", ["FPT"], "replay:1"])


@given(st.dictionaries(NAMES, VALUES).map(json.dumps) | JSON.map(json.dumps) | st.text() | st.binary())
def test_anything_is_an_operation_or_a_typed_error(text: str | bytes) -> None:
    found: protocol.Operation | ProtocolError
    try:
        found = protocol.parse(text)
    except ProtocolError as error:
        found = error
    if isinstance(found, ProtocolError):
        assert found.code in {"BAD_JSON", "BAD_PARAM", "UNKNOWN_OP", "TOO_LARGE"}
        assert 0 < len(found.message) < 400
    else:
        assert isinstance(found, protocol.Operation)


def test_close_codes_say_who_may_come_back() -> None:
    assert [code.value for code in CloseCode if not may_reconnect(code)] == [4401, 4403, 4429]
    assert json.loads(close_reason("SLOW", retry_after_ms=700)) == {"code": "SLOW", "retry_after_ms": 700}
    with pytest.raises(ValueError, match="at most 123 bytes"):
        close_reason("X" * 120)
