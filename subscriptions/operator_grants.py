"""The grant of an operator who watches market data in the portal."""

from django.contrib.auth import get_user_model

from subscriptions.auth_error import AuthError
from subscriptions.entitlements import CHANNELS, EVERY_MARKET, LEVEL_MAX, Grant, ProductRule
from subscriptions.limits import OPERATOR_LIMITS

PERMISSION = "subscriptions.view_market_data"
_PREFIX = "operator:"  # no API key's public id holds a colon
_RULE = ProductRule(
    rule="an operator with the permission to watch market data",
    product="portal",
    markets=EVERY_MARKET,
    channels=frozenset(CHANNELS) - {"account", "raw"},
    level=LEVEL_MAX,
    timeliness="realtime",
    delay_s=0,
    symbols=None,
    starts_ns=None,
    ends_ns=None,
    public=False,
)


def user_id_of(key_id: str) -> str:
    """The user id in a grant's key id; empty when it is an API key's."""
    return key_id.removeprefix(_PREFIX) if key_id.startswith(_PREFIX) else ""


def key_id_of(user_id: str) -> str:
    """The key id in the grant of a user."""
    return f"{_PREFIX}{user_id}"


def of_user(user_id: str) -> Grant:
    """AuthError when the user is gone, not active or may not watch."""
    user = get_user_model().objects.filter(pk=int(user_id)).first() if user_id.isdecimal() else None
    if user is None or not user.is_active:
        raise AuthError("KEY_REVOKED", "this operator's account has ended")
    if not user.has_perm(PERMISSION):
        raise AuthError("NOT_ENTITLED", "this operator may not watch market data")
    return Grant(
        subscriber_id=-user.pk,  # counts by itself, and is no subscriber's
        subscriber=f"operator-{user.pk}",
        key_id=key_id_of(str(user.pk)),
        scopes=frozenset({"stream", "replay", "history"}),
        rules=(_RULE,),
        limits=OPERATOR_LIMITS,
        expires_ns=None,
    )
