"""Tokens: who signed, for whom, until when; and every way in which one is not ours."""

from __future__ import annotations

import jwt
import pytest

from subscriptions import tokens
from subscriptions.tokens import AUDIENCE, ISSUER, BadToken, KeyRing

NOW_S = 1_790_000_000
OLD, NEW = "o" * 64, "n" * 64
RING = KeyRing({"new": NEW, "old": OLD})


def forged(secret: str = NEW, kid: str | None = "new", algorithm: str = "HS256", **changes: object) -> str:
    claims: dict[str, object] = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "key:AAAA0001", "iat": NOW_S, "exp": NOW_S + 60, "jti": "1",
    }  # fmt: skip
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid} if kid else None)


def test_a_token_says_whose_it_is_and_ends() -> None:
    text = tokens.issue("key", "AAAA0001", ring=RING, at_s=NOW_S, lifetime_s=60, address="203.0.113.7")
    assert tokens.looks_like_token(text)
    found = tokens.verify(text, ring=RING, at_s=NOW_S + 60)
    assert (found.subject, found.id, found.address, found.expires_s) == ("key", "AAAA0001", "203.0.113.7", NOW_S + 60)
    with pytest.raises(BadToken, match="expired"):
        tokens.verify(text, ring=RING, at_s=NOW_S + 65)


def test_keys_rotate_by_kid() -> None:
    text = tokens.issue("operator", "5", ring=KeyRing({"old": OLD}), at_s=NOW_S)
    assert tokens.verify(text, ring=RING, at_s=NOW_S).id == "5"  # the old key still verifies
    assert jwt.get_unverified_header(tokens.issue("key", "A", ring=RING, at_s=NOW_S))["kid"] == "new"
    with pytest.raises(BadToken, match="no key"):
        tokens.verify(text, ring=KeyRing({"new": NEW}), at_s=NOW_S)


@pytest.mark.parametrize(
    "text",
    [
        forged(OLD, "new"), forged(NEW, None), forged(NEW, "other"), forged(aud="others"), forged(iss="others"),
        forged(exp=None), forged(iat=None), forged(jti=None), forged(sub="admin:1"), forged(sub="key:"),
        forged(exp=NOW_S + 3_600), forged(iat=NOW_S + 60, exp=NOW_S + 90), forged(ip=5), forged(exp="soon"),
        forged(algorithm="HS512"), forged()[:-3], "a.b.c", "..", "é.é.é",
        jwt.encode({"sub": "key:AAAA0001"}, None, algorithm="none", headers={"kid": "new"}),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(BadToken) as refused:
        tokens.verify(text, ring=RING, at_s=NOW_S)
    assert text not in str(refused.value)


def test_nobody_is_given_a_token_that_lives_longer() -> None:
    for lifetime_s in (0, 301):
        with pytest.raises(ValueError, match="lifetime"):
            tokens.issue("key", "A", ring=RING, at_s=NOW_S, lifetime_s=lifetime_s)
    with pytest.raises(ValueError, match="subject"):
        tokens.issue("user", "A", ring=RING, at_s=NOW_S)


def test_a_ring_of_settings_or_of_the_sites_secrets() -> None:
    assert list(tokens.ring_of([f"b:{NEW}", f"a:{OLD}"], site_secrets=["s"]).keys.items()) == [("b", NEW), ("a", OLD)]
    before, after = tokens.ring_of([], site_secrets=["s1"]), tokens.ring_of([], site_secrets=["s2", "s1"])
    text = tokens.issue("key", "A", ring=before, at_s=NOW_S)
    assert tokens.verify(text, ring=after, at_s=NOW_S).id == "A"
    assert "s1" not in "".join(before.keys.values())
    with pytest.raises(ValueError, match="at least 32"):
        tokens.ring_of(["a:short"], site_secrets=[])
