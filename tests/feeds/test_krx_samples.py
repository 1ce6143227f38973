"""The eleven real messages pass framing, checksum and routers; their records are what simplefix reads in them."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import pytest

from feeds.fix.framing import check_frame, split
from feeds.fix.reference import Record, reference_records
from tests.conftest import SHARED_DATA
from tests.feeds.data_path import DataPath

MESSAGES = (SHARED_DATA / "krx_samples.fix").read_bytes().splitlines()  # see conftest.py where it is not there
# Of each message's records from `"q":` on, joined by newlines; what is under test is that not a byte changes.
DIGESTS = [
    "7f4dd3209f9e0508",
    "a0d86e4b4e263143",
    "4be20abbb254cbc9",
    "de9ffcfd5bd88370",
    "a106d9b9554864c1",
    "5dd1f27234040a9e",
    "9aa806c414990716",
    "ff28f2bf01e16677",
    "ef25f1f3aa8a5a07",
    "bf7bf7efbf9d7551",
    "10a83bd330d9710e",
]


@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_a_real_message(number: int) -> None:
    data = MESSAGES[number]
    check_frame(data)
    assert [(span.data, span.head is not None) for span in split(data)] == [(data, True)]
    path = DataPath(partitions=1)
    path.arrive(data)
    path.finish()
    assert path.dead == []
    read = [json.loads(r, parse_int=Decimal, parse_float=Decimal) for r in path.records]
    own: list[Record] = [{k: v for k, v in r.items() if k not in ("n", "ep", "rx")} for r in read]
    assert own == reference_records(data, path.tickers, {})
    text = "\n".join(record[record.index(',"q":') :] for record in path.records)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[number]


def test_all_in_one_datagram_in_order_of_time() -> None:
    path = DataPath(partitions=1)
    path.arrive(b"".join(sorted(MESSAGES, key=lambda data: data[data.index(b"\x0152=") :])))
    path.finish()
    assert (sum(path.counts.parsed.values()), path.dead) == (11, [])
