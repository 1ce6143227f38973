"""Reading recordings: what is right comes through, what is broken is named."""

from pathlib import Path

import pytest

from feeds.simulator.cap import BadCapLine, CapDatagram, parse_cap, parse_cap_line

FIX = b"8=FIX.4.4\x019=5\x0135=MV\x0152=20261121 01:02:03.004\x0110=123\x01"
RECORDING = Path(__file__).parents[3] / "shared" / "data" / "recorded_session.cap"


def test_a_line_is_split_at_its_first_two_spaces_only() -> None:
    assert parse_cap_line(1, b"17 A " + FIX + b"\n") == CapDatagram(17, "A", FIX)
    assert parse_cap_line(1, b"17 B " + FIX + FIX) == CapDatagram(17, "B", FIX + FIX)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "line 3: expected <rx_ns> <line> <FIX bytes> separated by spaces, found b''"),
        (b"17 A", "line 3: expected <rx_ns> <line> <FIX bytes> separated by spaces, found b'17 A'"),
        (b"x7 A " + FIX, "line 3: expected a receive time in ns as decimal digits, found b'x7'"),
        (b"17 C " + FIX, "line 3: expected line A or B, found b'C'"),
        (b"17 A x" + FIX, r"line 3: expected FIX bytes starting with 8=FIX, found b'x8=FIX"),
        (b"17 A " + FIX[:-1], r"line 3: expected FIX bytes ending with 10=nnn and SOH, found b'8=FIX"),
        (b"17 A 8=FIX" + b"0" * 66_000 + FIX[-8:], "expected a datagram of at most 65507 bytes, found"),
    ],
)
def test_a_broken_line_is_named_with_what_was_expected_and_found(line: bytes, error: str) -> None:
    lines = [b"1 A " + FIX + b"\n", b"2 B " + FIX + b"\n", line + b"\n"]
    with pytest.raises(BadCapLine) as caught:
        list(parse_cap(lines))
    assert error in str(caught.value)
    assert caught.value.number == 3
    assert len(str(caught.value)) < 400


if RECORDING.exists():

    def test_the_recorded_session_is_read_whole() -> None:
        with RECORDING.open("rb") as lines:
            datagrams = list(parse_cap(lines))
        assert len(datagrams) == 847
        assert {datagram.line for datagram in datagrams} == {"A"}
