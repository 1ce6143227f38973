"""`/tokens`: a key for a token of five minutes, to hand to a browser."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema

from subscriptions import authentication
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of, require_key
from subscriptions.protocol import SUBPROTOCOL_JSON
from subscriptions.tokens import LIFETIME_S_MAX, looks_like_token

router = Router(tags=["tokens"])


class TokenAsked(Schema):
    lifetime_s: int = LIFETIME_S_MAX
    address: str | None = None


class Token(Schema):
    token: str
    expires_in_s: int
    subprotocols: list[str]


@router.post("/tokens", response={201: Token}, summary="A short-lived token for a browser")
def issue(request: HttpRequest, asked: TokenAsked | None = None) -> Token:
    """For the key that asks; `address` binds the token to where the browser is. It opens a socket as the subprotocol
    `auth.<token>`, and this interface as a Bearer. It carries no rights: those are the key's when it is presented."""
    grant = require_key(grant_of(request))
    asked = asked or TokenAsked()
    if not 1 <= asked.lifetime_s <= LIFETIME_S_MAX:
        raise ApiError("BAD_PARAM", f"lifetime_s: expected 1 to {LIFETIME_S_MAX}, got {asked.lifetime_s}")
    secret = request.headers["Authorization"].partition(" ")[2].strip()
    if looks_like_token(secret):
        raise ApiError("NOT_ENTITLED", "a token cannot ask for another one: use the key")
    try:
        token = authentication.issue_token(grant, at=timezone.now(), lifetime_s=asked.lifetime_s, address=asked.address)
    except authentication.AuthError as error:
        raise ApiError(error.code, error.msg) from None
    return Token(token=token, expires_in_s=asked.lifetime_s, subprotocols=[f"auth.{token}", SUBPROTOCOL_JSON])
