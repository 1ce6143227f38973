"""What the REST interface answers to whom: instruments, snapshots, entitlements, feeds; and every refusal's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from feeds.models import BoardFacts, Instrument, WorkerHeartbeat
from subscriptions.api import edges, keys, snapshots
from subscriptions.api.rates import Rates
from subscriptions.cache.store import CacheDown, MemoryImages
from subscriptions.models import ApiKey, Contract
from tests.api.conftest import Served, refusal_of
from tests.api.recorded import NS, START_NS, STEP_NS, STEPS
from tests.gateway import cast


@pytest.fixture
def fpt(served: Served) -> Instrument:
    one, _ = Instrument.objects.get_or_create(
        ticker="FPT", market="STO", defaults={"isin": "VN000000FPT1", "name": "FPT Corporation"}
    )
    BoardFacts.objects.create(instrument=one, board="G1", reference="98500", ceiling="105300", floor="91700", lot="100")
    return one


def test_instruments_are_found_by_name_market_and_day(served: Served, fpt: Instrument) -> None:
    row = served.json("instruments/FPT")
    assert (row["isin"], row["market"], row["boards"]) == (
        fpt.isin,
        "STO",
        [{"board": "G1", "reference": "98500", "ceiling": "105300", "floor": "91700", "lot": "100"}],
    )
    assert served.json(f"instruments/{fpt.isin}")["symbol"] == "FPT"
    assert [one["symbol"] for one in served.json("instruments", q="fp", market="STO")["instruments"]] == ["FPT"]
    assert served.json("instruments", market="STX")["instruments"] == []
    today = timezone.localtime(timezone.now(), timezone.get_fixed_timezone(7 * 60)).date().isoformat()
    assert len(served.json("instruments", date=today)["instruments"]) == Instrument.objects.count()
    assert served.json("instruments", date="2020-01-02")["instruments"] == []


def test_pages_of_instruments_come_once_and_in_order(served: Served) -> None:
    found: list[str] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = served.json("instruments", **query)
        found += [one["symbol"] for one in page["instruments"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == sorted(Instrument.objects.values_list("ticker", flat=True))
    assert len(found) > 4


def test_a_snapshot_is_the_streams_last_images_byte_for_byte(served: Served, fpt: Instrument) -> None:
    lines = [cast.depth("FPT", 7), cast.depth("FPT", 9, bd="T1")]
    served.keep(*lines)
    answer = served.get("snapshot/depth/FPT")
    assert b'"records":[' + b",".join(lines) + b"]}" in answer.content
    assert answer.json()["granted"] == {
        "rule": answer.json()["granted"]["rule"],
        "timeliness": "realtime",
        "delay_s": 0,
        "depth": 10,
    }
    assert served.json("snapshot/stats/FPT")["records"] == []
    assert served.refusal("snapshot/depth/NOPE")[1] == "NOT_ENTITLED"
    assert served.refusal("snapshot/trade/FPT") == (422, "BAD_PARAM")


def test_a_snapshot_is_cut_to_the_level_of_the_right(served: Served, fpt: Instrument) -> None:
    served.keep(cast.depth("FPT", 7))
    bob = served.json("snapshot/depth/FPT", "bob")
    assert (bob["granted"]["depth"], [len(bob["records"][0][side]) for side in "ba"]) == (3, [3, 3])
    book = served.json("snapshot/book/FPT", "bob")["records"][0]
    assert (book["kind"], book["n"], len(book["b"])) == ("snap", 7, 3)
    assert isinstance(book["crc"], int)
    asked = served.json("snapshot/depth/FPT", "bob", depth=1)
    assert (asked["granted"]["depth"], len(asked["records"][0]["b"])) == (1, 1)
    quote = served.json("snapshot/quote/FPT")["records"][0]
    assert (quote["bp"], quote["bq"], quote["ap"], quote["aq"]) == (100, 10, 101, 10)
    assert served.refusal("snapshot/depth/FPT", depth=4) == (422, "BAD_PARAM")
    assert served.refusal("snapshot/stats/FPT", "bob") == (403, "NOT_ENTITLED")


def test_a_delayed_snapshot_is_as_old_as_the_right_says(remembering: Served, session_journal: Path) -> None:
    symbol = "FPT"
    end_ns = START_NS + STEPS * STEP_NS
    remembering.now_ns = end_ns
    remembering.keep(cast.depth(symbol, 7, levels=1).replace(b'"rx":1,', b'"rx":%d,' % (end_ns - NS)))
    Instrument.objects.get_or_create(ticker=symbol, market="STO", defaults={"isin": "VN000000FPT1"})
    answer = remembering.json(f"snapshot/depth/{symbol}", "della")
    assert (answer["granted"]["timeliness"], answer["granted"]["delay_s"]) == ("delayed", 60)
    times = [record["rx"] for record in answer["records"]]
    assert times
    assert all(end_ns - 90 * NS < rx_ns < end_ns - 60 * NS for rx_ns in times)
    assert remembering.refusal(f"snapshot/depth/{symbol}", "della", timeliness="realtime") == (403, "DELAYED_ONLY")
    # An image that is old enough is the delayed one too.
    remembering.now_ns = end_ns + 120 * NS
    assert remembering.json(f"snapshot/depth/{symbol}", "della")["records"][0]["n"] == 7
    assert snapshots.received_ns(cast.depth(symbol, 1)) == 1


def test_what_is_public_needs_no_key(served: Served) -> None:
    served.keep(cast.record("index", "VNINDEX", 3, value=1200.5))
    assert served.json("snapshot/index/VNINDEX", None)["records"][0]["value"] == 1200.5
    assert served.refusal("snapshot/depth/FPT", None) == (401, "AUTH_REQUIRED")
    assert served.refusal("instruments", None) == (401, "AUTH_REQUIRED")


def test_entitlements_say_what_and_why(served: Served, fpt: Instrument) -> None:
    mine = served.json("entitlements", "bob")
    assert (mine["subscriber"], mine["scopes"]) == ("bob", ["history", "replay", "stream"])
    assert [(one["product"], one["level"], one["public"]) for one in mine["entitlements"]] == [
        ("for-bob", 3, False),
        ("public", 100, True),
    ]
    yes = served.json("entitlements/effective", "bob", channel="depth", symbol="FPT")
    assert (yes["allowed"], yes["level"]) == (True, 3)
    assert "C-bob" in yes["rule"]
    no = served.json("entitlements/effective", "bob", channel="trade", symbol="FPT")
    assert (no["allowed"], no["code"]) == (False, "NOT_ENTITLED")
    past = served.json("entitlements/effective", "bob", channel="depth", symbol="FPT", at="2019-12-31T00:00:00Z")
    assert (past["allowed"], past["code"], past["at"]) == (False, "CONTRACT_ENDED", "2019-12-31T00:00:00Z")
    delayed = served.json("entitlements/effective", "della", channel="depth", symbol="FPT", timeliness="realtime")
    assert (delayed["allowed"], delayed["code"], delayed["delay_s"]) == (False, "DELAYED_ONLY", 60)


def test_feeds_are_what_the_gateways_say(served: Served) -> None:
    assert [(one["name"], one["state"]) for one in served.json("feeds", None)["feeds"]] == [("STO", "unknown")]
    WorkerHeartbeat.objects.create(
        kind="gateway", name="gateway", host="here", pid=1, started_at=timezone.now(), seen_at=timezone.now(),
        stats={"feeds": {"STO": {"ep": "20261120-1", "q": 99, "age_ms": 3, "state": "live"}}},
    )  # fmt: skip
    (row,) = served.json("feeds", None)["feeds"]
    assert (row["state"], row["epoch"], row["sequence"], row["age_ms"]) == ("live", "20261120-1", 99, 3)


def test_wrong_keys_are_refused_and_slowed_down(served: Served) -> None:
    key = served.keys["alice"]
    assert served.refusal("feeds", "nonsense") == (401, "AUTH_FAILED")
    assert served.get("feeds", "nonsense")["WWW-Authenticate"] == 'Bearer realm="mdds"'
    assert served.refusal("feeds", key[:-6] + "aaaaaa") == (429, "RATE_LIMIT")  # the third in a second from here
    assert served.get("feeds").status_code == 200  # a right key is never slowed down by wrong ones


def test_a_revoked_key_an_ended_contract_and_a_foreign_address(served: Served) -> None:
    ApiKey.objects.filter(subscriber__code="bob").update(revoked_at=timezone.now())
    assert served.refusal("feeds", "bob") == (401, "KEY_REVOKED")
    Contract.objects.filter(subscriber__code="della").update(ends_on="2020-01-01")
    assert served.refusal("feeds", "della") == (403, "CONTRACT_ENDED")
    keys._failures = Rates()
    ApiKey.objects.filter(subscriber__code="alice").update(addresses=["203.0.113.0/24"])
    assert served.refusal("feeds") == (403, "IP_NOT_ALLOWED")


def test_a_key_without_the_scope(served: Served) -> None:
    ApiKey.objects.filter(subscriber__code="alice").update(scopes=["stream"])
    assert served.refusal("history/trade", symbol="FPT", start="2026-11-20T02:15:00Z") == (403, "NOT_ENTITLED")


def test_requests_above_the_rate_are_told_when_to_come_back(served: Served) -> None:
    Contract.objects.filter(subscriber__code="alice").update(ops_per_s_max=2)
    answers = [served.get("feeds") for _ in range(12)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    assert (refused[0].json()["code"], refused[0]["Retry-After"]) == ("RATE_LIMIT", "1")
    assert served.get("feeds", "bob").status_code == 200


def test_a_bucket_fills_with_time_and_old_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates()
    spent = [rates.spend("a", 2.0, at_ns=0) for _ in range(5)]
    assert spent == [0, 0, 0, 0, 501]
    assert rates.spend("a", 2.0, at_ns=501_000_000) == 0
    monkeypatch.setattr("subscriptions.api.rates.BUCKETS_MAX", 1)
    rates.spend("b", 2.0, at_ns=501_000_000)
    assert rates.spend("a", 2.0, at_ns=501_000_000) == 0  # full again


def test_every_refusal_has_one_shape(served: Served) -> None:
    assert served.refusal("nowhere") == (404, "NOT_FOUND")
    assert served.refusal("instruments/NOPE") == (404, "SYMBOL_UNKNOWN")
    assert served.refusal("instruments", limit="many") == (422, "BAD_PARAM")
    assert served.refusal("instruments", cursor="!!") == (422, "BAD_PARAM")
    response = served.ask("delete", "feeds")
    assert refusal_of(response) == (405, "METHOD_NOT_ALLOWED")
    assert response["Allow"] == "GET"


class DeadImages(MemoryImages):
    """A cache that is away."""

    def get(self, channel: str, symbol: str) -> list[bytes]:
        raise CacheDown("Redis is away")


def test_without_images_or_database_the_answer_is_come_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    Instrument.objects.get_or_create(ticker="FPT", market="STO", defaults={"isin": "VN000000FPT1"})
    served.images = DeadImages()
    assert served.refusal("snapshot/depth/FPT") == (503, "OVERLOADED")
    served.images = None  # type: ignore[assignment]
    assert served.refusal("snapshot/depth/FPT") == (503, "OVERLOADED")
    edges.install(None)
    assert served.refusal("snapshot/depth/FPT") == (503, "SHUTDOWN")
    assert connections["default"].is_usable()


def test_openapi_and_its_page_come_from_here(served: Served) -> None:
    schema: dict[str, Any] = served.json("openapi.json", None)
    assert {"/api/v1/instruments", "/api/v1/snapshot/{channel}/{symbol}", "/api/v1/feeds"} <= schema["paths"].keys()
    page = served.get("stream", None).content.decode()
    assert "REPLAY_END" in page
    assert "//" not in page.replace("http://www.w3.org", "")
    assert served.get("asyncapi.yaml", None).content.startswith(b"asyncapi: 3.0.0")
    page = served.get("docs", None).content.decode()
    assert "swagger-ui" in page
    assert "//" not in page.replace("<!--", "").replace("http://www.w3.org", "")
