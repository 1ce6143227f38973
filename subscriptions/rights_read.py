"""Reads the rows of many keys at once, and makes each key's Grant of them."""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from subscriptions import grants, operator_grants
from subscriptions.auth_error import AuthError
from subscriptions.entitlements import Grant, ProductRule
from subscriptions.models import ApiKey

log = logging.getLogger(__name__)


class RightsRead:
    """One reading: every answer is of the same rows, and a key that many present is looked at once.

    It is thrown away with its answers, so nothing here can be out of date.
    """

    def __init__(self, at: datetime, *, key_ids: Iterable[str], zone: ZoneInfo) -> None:
        """The state at `at`; days of contracts are days in `zone`."""
        self.at, self.zone = at, zone
        wanted = {one for one in key_ids if one}
        rows = ApiKey.objects.filter(public_id__in=wanted).select_related("subscriber").order_by()
        self.keys: dict[str, ApiKey] = {key.public_id: key for key in rows} if wanted else {}
        self._rights = grants.rights_of({key.subscriber_id for key in self.keys.values()}) if self.keys else {}
        self._answers: dict[str, Grant | AuthError] = {}

    def grant(self, key_id: str) -> Grant | AuthError:
        """Of a key that was read ("" is the anonymous one) or of an operator; the error that says why there is none."""
        answer = self._answers.get(key_id)
        if answer is None:
            try:
                answer = self._made(key_id)
            except AuthError as error:
                answer = error
            except (ValueError, TypeError):  # one key's rows harm no other key; what cannot be read opens nothing
                log.exception("the rows of key %s make no grant", key_id)
                answer = AuthError("OVERLOADED", f"the rights of key {key_id} cannot be read")
            self._answers[key_id] = answer
        return answer

    @cached_property
    def _public(self) -> tuple[ProductRule, ...]:
        return grants.public_rules()

    def _made(self, key_id: str) -> Grant:
        if not key_id:
            return grants.anonymous(public=self._public)
        user_id = operator_grants.user_id_of(key_id)
        if user_id:
            return operator_grants.of_user(user_id)
        key, at = self.keys.get(key_id), self.at
        if key is None:
            raise AuthError("KEY_REVOKED", f"key {key_id} was deleted")
        if key.subscriber.blocked:
            raise AuthError("KEY_REVOKED", f"subscriber {key.subscriber.code} is blocked")
        if key.revoked_at is not None and key.revoked_at <= at:
            raise AuthError("KEY_REVOKED", f"key {key_id} was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
        if key.expires_at is not None and key.expires_at <= at:
            raise AuthError("KEY_EXPIRED", f"key {key_id} expired at {key.expires_at:%Y-%m-%d %H:%M:%S} UTC")
        try:
            return grants.of_key(
                key, self._rights.get(key.subscriber_id, []), at=at, zone=self.zone, public=self._public
            )
        except grants.NoContract as error:
            raise AuthError("CONTRACT_ENDED", str(error)) from error
