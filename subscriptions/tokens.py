"""Issues and verifies the short-lived tokens (JWT, HS256) with which browsers open a stream.  [pure]

A token names a key or an operator and carries no rights: those are loaded from the rows when it is presented, so a
revoked key's token opens nothing. The first signing key of the ring signs, all of them verify; `kid` says which.
"""

import hashlib
import hmac
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jwt

ALGORITHM = "HS256"
ISSUER = "mdds"
AUDIENCE = "mdds.v1"
LIFETIME_S_MAX = 300
CLOCK_SKEW_S = 5  # between two machines of ours
SIGNING_KEY_CHARACTERS_MIN = 32  # RFC 7518: an HS256 key has at least 256 bits
_CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti")
_SUBJECTS = ("key", "operator")


class BadToken(ValueError):
    """The text is no valid token; the message never repeats it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """`subject` is "key" or "operator", `id` the key's public id or the operator's user id."""

    subject: str
    id: str
    address: str | None
    issued_s: int
    expires_s: int


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """Signing keys by `kid`, the newest first."""

    keys: Mapping[str, str]


def looks_like_token(text: str) -> bool:
    """Whether a presented secret is meant as a token: API keys hold no dots."""
    return text.count(".") == 2


def ring_of(listed: Iterable[str], *, site_secrets: Iterable[str]) -> KeyRing:
    """The ring of `kid:secret` entries; without any, of keys derived from the site's secrets, the newest first."""
    entries = [entry.partition(":") for entry in listed]
    for kid, _, secret in entries:
        if not kid or len(secret) < SIGNING_KEY_CHARACTERS_MIN:
            raise ValueError(f"expected kid:secret with a secret of at least {SIGNING_KEY_CHARACTERS_MIN} characters")
    if entries:
        return KeyRing({kid: secret for kid, _, secret in entries})
    derived = [hmac.new(one.encode(), b"mdds stream tokens", hashlib.sha256).hexdigest() for one in site_secrets]
    return KeyRing({hashlib.sha256(one.encode()).hexdigest()[:8]: one for one in derived})


def issue(
    subject: str, id: str, *, ring: KeyRing, at_s: int, lifetime_s: int = LIFETIME_S_MAX, address: str | None = None
) -> str:
    """A token for a key or an operator; with an `address` it opens a stream from there only."""
    if subject not in _SUBJECTS:
        raise ValueError(f"subject: expected one of {_SUBJECTS}, got {subject!r}")
    if not 1 <= lifetime_s <= LIFETIME_S_MAX:
        raise ValueError(f"lifetime: expected 1 to {LIFETIME_S_MAX} s, got {lifetime_s}")
    kid, secret = next(iter(ring.keys.items()))
    claims: dict[str, object] = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": f"{subject}:{id}", "iat": at_s, "exp": at_s + lifetime_s,
        "jti": uuid.uuid4().hex,
    }  # fmt: skip
    if address is not None:
        claims["ip"] = address
    return jwt.encode(claims, secret, algorithm=ALGORITHM, headers={"kid": kid})


def verify(text: str, *, ring: KeyRing, at_s: int) -> Claims:
    """The claims of a token that one of the ring's keys signed and that holds at the time; BadToken otherwise."""
    try:
        secret = ring.keys.get(jwt.get_unverified_header(text).get("kid", ""))
        if secret is None:
            raise BadToken("signed by no key of this site")
        found = jwt.decode(
            text, secret, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER,
            options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )  # fmt: skip
    except jwt.PyJWTError as error:
        raise BadToken(f"not a valid token: {type(error).__name__}") from None
    return _checked(found, at_s=at_s)


def _checked(found: Mapping[str, object], *, at_s: int) -> Claims:
    """The times are compared here: the clock is an argument, and no token lives longer than we issue them for."""
    issued, expires, address = found["iat"], found["exp"], found.get("ip")
    subject, _, id_ = str(found["sub"]).partition(":")
    if not isinstance(issued, int) or not isinstance(expires, int) or not isinstance(address, str | None):
        raise BadToken("its claims have other types than ours")
    if subject not in _SUBJECTS or not id_ or expires - issued > LIFETIME_S_MAX:
        raise BadToken("its claims are not ours")
    if issued > at_s + CLOCK_SKEW_S:
        raise BadToken("it was issued in the future")
    if at_s >= expires + CLOCK_SKEW_S:
        raise BadToken("it has expired: ask for a new one")
    return Claims(subject, id_, address, issued, expires)
