"""What a plan gives, over a socket: how a slow client is treated, and how deep it may look."""

from __future__ import annotations

import dataclasses

import pytest

from subscriptions.gateway.subscription import Subscription
from subscriptions.limits import highest
from subscriptions.protocol import Subscribe
from tests.gateway import cast
from tests.gateway.running import RunningGateway

GRANTED = {  # plan → what is granted for (trade, depth, book) × (nothing, conflate, skip, disconnect)
    "skip": [
        ("skip", "skip", "skip", "disconnect"),
        ("conflate", "conflate", "skip", "disconnect"),
        ("conflate", "conflate", "conflate", "disconnect"),
    ],
    "conflate": [
        ("skip", "skip", "skip", "disconnect"),
        ("conflate", "conflate", "conflate", "disconnect"),
        ("conflate", "conflate", "conflate", "disconnect"),
    ],
    "disconnect": [("disconnect",) * 4] * 3,
}


@pytest.mark.parametrize("plan", GRANTED)
def test_the_reply_states_what_the_plan_gives_to_a_slow_client(gateway: RunningGateway, plan: str) -> None:
    limits = dataclasses.replace(cast.LIMITS, on_slow=plan)
    gateway.keys.grants["alice"] = dataclasses.replace(cast.alice(), limits=limits)
    client = gateway.connect()
    client.frame()
    found = []
    for channel in ("trade", "depth", "book"):
        row = []
        for asked in (None, "conflate", "skip", "disconnect"):
            reply = client.subscribe(channel, "FPT", **({"on_slow": asked} if asked else {}))
            row.append(reply["granted"]["on_slow"])
            again = client.ask(
                op="set", id=1, sid=reply["sid"], **({"on_slow": asked} if asked else {"conflate_ms": 0})
            )
            assert again["granted"]["on_slow"] == row[-1]
            client.ask(op="unsub", id=2, sid=reply["sid"])
        found.append(tuple(row))
    assert found == GRANTED[plan]


def test_the_hub_does_what_was_granted(gateway: RunningGateway) -> None:
    asked = Subscribe(1, "depth", ("FPT",), on_slow="skip")
    assert [Subscription(1, asked, False, on_slow_max=plan).on_slow for plan in GRANTED] == ["skip", "", "disconnect"]


def test_of_several_contracts_the_most_counts() -> None:
    plans = [dataclasses.replace(cast.LIMITS, on_slow=name) for name in ("disconnect", "skip", "conflate")]
    assert [highest(plans[:count]).on_slow for count in (1, 2, 3)] == ["disconnect", "skip", "skip"]
    assert highest(plans[::2]).on_slow == "conflate"


def test_a_depth_that_is_too_deep_is_granted_less_or_refused_when_exactness_is_asked_for(
    gateway: RunningGateway,
) -> None:
    client = gateway.connect("bob")  # three levels of depth
    client.frame()
    less = client.subscribe("depth", "FPT", depth=10)
    assert (less["ok"], less["granted"]["depth"]) == (["FPT"], 3)
    refused = client.subscribe("depth", "VNM", depth=5, exact=True)
    assert (refused["sid"], refused["errors"][0]["s"]) == (None, "VNM")
    assert refused["errors"][0]["code"] == "LEVEL_NOT_ENTITLED"
    assert "3 price level(s)" in refused["errors"][0]["msg"]
    for depth in (1, 3):
        exact = client.subscribe("depth", "VNM", depth=depth, exact=True)
        assert exact["granted"]["depth"] == depth
        client.ask(op="unsub", id=1, sid=exact["sid"])
    assert client.subscribe("depth", "VNM", exact=True)["code"] == "BAD_PARAM"


def test_who_has_every_level_may_be_exact_about_it(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    gateway.publish(cast.depth("FPT", 1))
    assert client.subscribe("depth", "FPT", depth="full", exact=True, snapshot=False)["granted"]["depth"] == 10
