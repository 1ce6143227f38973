"""Strategies: sound messages of every routed type, the same with a field or some bytes changed, and raw bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.feeds.valid_messages import Shape, shapes
from tests.feeds.wire import body_of, framed

SOH = b"\x01"
# Values at the edges of what a kind takes: numbers as text, sentinels, times, JSON's and the template's own characters.
VALUES = [
    b"", b"0", b"00", b"-0", b"+1", b"-1", b"1.", b".5", b"0.0", b"00.10", b"-1.5", b"1e5", b"NaN", b"0x1", b"1,0",
    b" 1",     b"9" * 18, b"9" * 19, b"9" * 400, b"1." + b"9" * 9, b"1." + b"9" * 10, b"999999999.0", b"-999999999.0",
    b"-09999.999900", b"20261120", b"20261320", b"021500120", b"256000000", b"20261120 02:15:00.123",
    b"20261120-02:15:00", b"20261120 23:59:60.000", b'"', b"\\", b"%s", b"%", b"\x00", b"\x1f", b"\n", "ộ".encode(),
    "٣".encode(), "𝄞".encode(), b"\xff", b"\xc3", b"=", b"a=b", b"STO", b"sto", b"STOX", b"G1", b"X", b"W", b"2", b"1",
]  # fmt: skip
TAGS = [b"8", b"9", b"10", b"34", b"35", b"52", b"55", b"83", b"268", b"269", b"270", b"271", b"30001", b"20004",
        b"387", b"30521", b"58", b"0", b"-1", b"", b"abc", b"9999999"]  # fmt: skip
PIECES = st.sampled_from(
    [SOH, b"8=FIX.4.4\x019=", b"10=000\x01", b"=", b"\x00", b"35=X\x01", b"8=FIX.4.4\x019=99999\x01"]
)
JUNK = st.one_of(st.binary(max_size=40), PIECES, st.text(max_size=12).map(str.encode))


@st.composite
def with_a_field_changed(draw: Any, data: bytes) -> bytes:
    """One to three fields of the body changed, dropped, doubled, moved or put in; the frame is put right again."""
    fields = body_of(data).split(SOH)[:-1]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(fields) - 1))
        tag, _, value = fields[at].partition(b"=")
        act = draw(st.sampled_from(["value", "value", "value", "tag", "drop", "double", "move", "put", "bare"]))
        if act == "value":
            fields[at] = tag + b"=" + draw(st.sampled_from(VALUES))
        elif act == "tag":
            fields[at] = draw(st.sampled_from(TAGS)) + b"=" + value
        elif act == "drop" and len(fields) > 1:
            del fields[at]
        elif act == "double":
            fields.insert(at, fields[at])
        elif act == "move":
            fields.insert(draw(st.integers(0, len(fields) - 1)), fields.pop(at))
        elif act == "put":
            fields.insert(at, draw(st.sampled_from(TAGS)) + b"=" + draw(st.sampled_from(VALUES)))
        elif act == "bare":
            fields[at] = tag
    return framed(b"".join(field + SOH for field in fields))


@st.composite
def with_bytes_changed(draw: Any, data: bytes) -> bytes:
    """Bytes flipped, cut out, put in or cut off; sometimes with a frame that is right nevertheless."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        act = draw(st.sampled_from(["flip", "cut", "put", "end"]))
        if act == "flip" and changed:
            changed[at] = draw(st.integers(0, 255))
        elif act == "cut":
            del changed[at : at + draw(st.integers(1, 8))]
        elif act == "put":
            changed[at:at] = draw(JUNK)
        elif act == "end":
            del changed[at:]
    if draw(st.booleans()) and changed.count(b"35=") and len(changed) > 30:
        start = changed.index(b"35=")
        return framed(bytes(changed[start:-7]).rstrip(SOH) + SOH)
    return bytes(changed)


@st.composite
def traffic(draw: Any) -> list[bytes]:
    """Datagrams: messages of one shape, sound and mutated in turns, each sound one with a number of its own."""
    shape: Shape = draw(shapes())
    datagrams: list[bytes] = []
    for values in shape.values * 2:
        sound = shape.message(len(datagrams) + 1, values)
        kind = draw(st.sampled_from(["sound", "sound", "field", "field", "bytes", "junk", "several"]))
        if kind == "field":
            datagrams.append(draw(with_a_field_changed(sound)))
        elif kind == "bytes":
            datagrams.append(draw(with_bytes_changed(sound)))
        elif kind == "junk":
            datagrams.append(draw(JUNK))
        elif kind == "several":
            datagrams.append(draw(JUNK) + sound + draw(JUNK))
        else:
            datagrams.append(sound)
    return datagrams
