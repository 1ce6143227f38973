"""Effective access: which rule decides, and with which code a request is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feeds.config import MARKETS
from subscriptions.entitlements import Decision, Grant, Limits, ProductRule, effective_access, market_of_index

RULE = ProductRule(
    rule="product rt by contract A-1",
    product="rt",
    markets=frozenset({"STO"}),
    channels=frozenset({"trade", "depth", "status", "index"}),
    level=10,
    timeliness="realtime",
    delay_s=0,
    symbols=None,
    starts_ns=None,
    ends_ns=None,
    public=False,
)
DELAYED = replace(RULE, rule="product slow", timeliness="delayed", delay_s=900, level=1)
GRANT = Grant(1, "alice", "AAAAAAAA", frozenset({"stream"}), (RULE,), Limits(10, 10, 1 << 20, 1), None)


def decide(
    *rules: ProductRule,
    ch: str = "trade",
    s: str = "FPT",
    m: str | None = "STO",
    at: int = 100,
    asked: str = "realtime",
) -> Decision:
    return effective_access(replace(GRANT, rules=rules), ch, symbol=s, market=m, at_ns=at, timeliness=asked)


def test_an_allowed_request_names_its_rule() -> None:
    assert decide(RULE) == Decision(True, None, "product rt by contract A-1", 10, "realtime", 0)


@pytest.mark.parametrize(
    ("ch", "s", "m"),
    [("book", "FPT", "STO"), ("trade", "ACB", "STX"), ("trade", "FPT", None), ("trade", "*", None)],
)
def test_what_no_rule_covers_is_not_entitled(ch: str, s: str, m: str | None) -> None:
    decision = decide(RULE, ch=ch, s=s, m=m)
    assert (decision.allowed, decision.code, decision.level) == (False, "NOT_ENTITLED", 0)
    assert ch in decision.rule
    assert s in decision.rule


def test_an_unknown_market_needs_a_rule_for_every_market() -> None:
    assert decide(replace(RULE, markets=frozenset(MARKETS)), m=None).allowed


def test_the_window_is_half_open_and_its_end_is_contract_ended() -> None:
    bounded = replace(RULE, starts_ns=100, ends_ns=200)
    assert [decide(bounded, at=at).code for at in (99, 100, 199, 200)] == [
        "CONTRACT_ENDED",
        None,
        None,
        "CONTRACT_ENDED",
    ]


def test_an_expired_key_sees_nothing() -> None:
    grant = replace(GRANT, expires_ns=100)
    codes = [effective_access(grant, "trade", symbol="FPT", market="STO", at_ns=at).code for at in (99, 100)]
    assert codes == [None, "KEY_EXPIRED"]


def test_a_delayed_product_alone_does_not_open_the_realtime_stream() -> None:
    assert decide(DELAYED) == Decision(False, "DELAYED_ONLY", "product slow is delayed by 900 s", 1, "delayed", 900)
    assert decide(DELAYED, asked="delayed") == Decision(True, None, "product slow", 1, "delayed", 900)


def test_realtime_wins_over_delayed_and_the_deeper_over_the_shallow() -> None:
    deep = replace(RULE, rule="deep", level=100)
    slow_and_deep = replace(DELAYED, level=100)
    assert decide(slow_and_deep, RULE, deep).rule == "deep"
    assert decide(slow_and_deep, RULE).rule == RULE.rule


def test_a_rule_that_ended_does_not_hide_one_that_holds() -> None:
    assert decide(replace(RULE, rule="old", level=100, ends_ns=50), RULE).rule == RULE.rule


def test_a_symbol_list_limits_symbols_but_not_the_state_of_their_board() -> None:
    listed = replace(RULE, symbols=frozenset({"FPT", "VN30*"}))
    assert [decide(listed, s=s).allowed for s in ("FPT", "VN30F1M", "VNM", "*")] == [True, True, False, False]
    assert decide(listed, ch="status", s="board:STO.G1", m=None).allowed


@pytest.mark.parametrize(
    ("s", "m", "allowed"),
    [
        ("board:STO.G1", None, True),
        ("board:STX.G1", None, False),
        ("feed:STO", "STO", True),
        ("feed:STX", None, False),
        ("feed:crypto", None, True),
        ("replay:12", None, True),
    ],
)
def test_status_symbols_carry_their_market(s: str, m: str | None, allowed: bool) -> None:
    assert decide(RULE, ch="status", s=s, m=m).allowed is allowed


def test_an_index_is_of_its_exchange() -> None:
    names = ("VNINDEX", "VN30", "HNXIndex", "HNX30", "HNXUpcomIndex", "UPX.999", "WHAT")
    assert [market_of_index(name) for name in names] == ["STO", "STO", "STX", "STX", "UPX", "UPX", None]
    assert [decide(RULE, ch="index", s=s, m=None).allowed for s in ("VNINDEX", "HNX30")] == [True, False]


def test_the_account_channel_is_every_key_holders_own() -> None:
    anonymous = replace(GRANT, key_id="", rules=(replace(RULE, channels=frozenset({"account"})),))
    assert decide(ch="account", s="alice", m=None).allowed
    assert not effective_access(anonymous, "account", symbol="alice", market="STO", at_ns=1).allowed
