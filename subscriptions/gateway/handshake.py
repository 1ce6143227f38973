"""What a connection offers before it is accepted: subprotocol, secret, origin, address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from subscriptions.protocol import SECRET_CHARACTERS_MAX, SUBPROTOCOLS, ProtocolError

_SECRET_NAMES = frozenset({"key", "api_key", "apikey", "token", "access_token", "auth", "jwt"})


@dataclass(frozen=True, slots=True)
class Offer:
    """`refusal` says why the handshake ends with an HTTP status; `error` why the socket is closed after it."""

    subprotocol: str | None = None
    secret: str | None = None
    address: str | None = None
    takeover: bool = False
    refusal: tuple[int, str] | None = None
    error: ProtocolError | None = None


def read_offer(scope: Mapping[str, object], *, origins: Iterable[str] = ()) -> Offer:
    headers = _headers(scope)
    address = address_of(scope)
    if not _origin_allowed(headers, origins):
        return Offer(address=address, refusal=(403, "this origin may not open the stream: use a key outside a browser"))
    offered = scope.get("subprotocols")
    names = [name for name in offered if isinstance(name, str)] if isinstance(offered, list) else []
    tokens = [name.removeprefix("auth.") for name in names if name.startswith("auth.")]
    spoken = [name for name in names if not name.startswith("auth.")]
    chosen = next((name for name in SUBPROTOCOLS if name in spoken), None)
    if spoken and chosen is None:
        return Offer(address=address, refusal=(400, f"no subprotocol in common; served: {', '.join(SUBPROTOCOLS)}"))
    try:
        _refuse_secret_in_url(scope)
        secret = _bearer(headers) or (tokens[0] if tokens else None)
    except ProtocolError as error:
        return Offer(subprotocol=chosen, address=address, error=error)
    return Offer(subprotocol=chosen, secret=secret, address=address, takeover=_takeover(scope))


def _headers(scope: Mapping[str, object]) -> dict[str, str]:
    pairs = scope.get("headers")
    if not isinstance(pairs, list):
        return {}
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def address_of(scope: Mapping[str, object]) -> str | None:
    client = scope.get("client")
    return str(client[0]) if isinstance(client, list | tuple) and client else None


def _origin_allowed(headers: Mapping[str, str], origins: Iterable[str]) -> bool:
    """No Origin (not a browser), our own host, or one of the listed; anything else is foreign."""
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:
        return False


def _refuse_secret_in_url(scope: Mapping[str, object]) -> None:
    """URLs end up in logs: a key that was in one is to be replaced."""
    query = scope.get("query_string")
    if not isinstance(query, bytes) or not query:
        return
    names = {name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
    found = sorted(names & _SECRET_NAMES)
    if found:
        text = f"never put a key in a URL (found {found[0]!r}): send Authorization: Bearer, and replace that key"
        raise ProtocolError("AUTH_FAILED", text, fatal=True)


def _takeover(scope: Mapping[str, object]) -> bool:
    """`?takeover=true`, for who authenticates in a header and so has no `auth` operation to say it in."""
    query = scope.get("query_string")
    return isinstance(query, bytes) and dict(parse_qsl(query.decode("latin-1"))).get("takeover") == "true"


def _bearer(headers: Mapping[str, str]) -> str | None:
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, secret = value.strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > SECRET_CHARACTERS_MAX:
        raise ProtocolError("AUTH_FAILED", "expected Authorization: Bearer <key>", fatal=True)
    return secret
