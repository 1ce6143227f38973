"""Tells running workers, on commit, that rights or feeds have changed.

Group `rights`: {"type": "rights.changed", "what", "subscriber": id or None (all), "keys": [public ids]}.
Group `feeds`: {"type": "feeds.changed", "feed": name}. A notice says where to look again, never what is there: the
truth of a change of rights is its row in `rights_changes`, which gateways also read when no notice reaches them.
Group `account`: {"type": "account.event", "subscriber": id, "event": name, "members": {...}}, for a subscriber's own
`account` channel; lost while the layer is down.
"""

import logging
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from prometheus_client import Counter

from feeds.models import Feed, Line
from subscriptions import rights_changes
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber

log = logging.getLogger(__name__)

RIGHTS_GROUP = "rights"
FEEDS_GROUP = "feeds"
ACCOUNT_GROUP = "account"
NOTICES = Counter("mdds_notices_total", "Notices of changed rows, by group and outcome.", ["group", "outcome"])


def connect() -> None:
    """Called once, when the apps are ready."""
    for model in (ApiKey, Subscriber, Contract, Entitlement, Product):
        for signal in (post_save, post_delete):
            signal.connect(_rights_changed, sender=model, dispatch_uid=f"notices.{model.__name__}")
    user = get_user_model()
    for signal in (post_save, post_delete):
        signal.connect(_operator_changed, sender=user, dispatch_uid="notices.operator")
    for relation in (user.groups.through, user.user_permissions.through, Group.permissions.through):
        m2m_changed.connect(_operators_changed, sender=relation, dispatch_uid=f"notices.{relation.__name__}")
    for model in (Feed, Line):
        for signal in (post_save, post_delete):
            signal.connect(_feeds_changed, sender=model, dispatch_uid=f"notices.{model.__name__}")


def publish_rights(what: str, *, subscriber_id: int | None, key_ids: list[str]) -> None:
    """To all gateways; `subscriber_id` None concerns every session."""
    _send(RIGHTS_GROUP, {"type": "rights.changed", "what": what, "subscriber": subscriber_id, "keys": sorted(key_ids)})


def publish_account(subscriber_id: int, event: str, **members: object) -> None:
    """To the running sessions of one subscriber that follow their `account` channel, when the transaction commits."""
    message = {"type": "account.event", "subscriber": subscriber_id, "event": event, "members": members}
    transaction.on_commit(partial(_send, ACCOUNT_GROUP, message), robust=True)


def _operator_changed(sender: type[models.Model], instance: Any, **members: Any) -> None:
    """An operator's rights end with the account; every login writes `last_login`, which concerns nobody."""
    if members.get("created") or set(members.get("update_fields") or ()) == {"last_login"}:
        return
    _changed("operator", -instance.pk, [])


def _operators_changed(sender: type[models.Model], action: str, **_: object) -> None:
    """Roles may concern any operator."""
    if action.startswith("post_"):
        _changed("role", None, [])


def _rights_changed(sender: type[models.Model], instance: Any, **_: object) -> None:
    subscriber_id = _subscriber_of(instance)
    keys = [instance.public_id] if isinstance(instance, ApiKey) else []
    _changed(sender.__name__.lower(), subscriber_id, keys)


def _changed(what: str, subscriber_id: int | None, keys: list[str]) -> None:
    rights_changes.note(what, subscriber_id)
    transaction.on_commit(partial(_publish_after_commit, what, subscriber_id, keys), robust=True)


def _publish_after_commit(what: str, subscriber_id: int | None, keys: list[str]) -> None:
    if not keys and subscriber_id is not None and subscriber_id > 0:
        keys = list(ApiKey.objects.filter(subscriber_id=subscriber_id).values_list("public_id", flat=True))
    publish_rights(what, subscriber_id=subscriber_id, key_ids=keys)


def _subscriber_of(instance: models.Model) -> int | None:
    match instance:
        case Subscriber():
            return instance.pk
        case ApiKey() | Contract():
            return instance.subscriber_id
        case Entitlement():
            return instance.contract.subscriber_id
        case _:
            return None  # a product may concern anybody


def _feeds_changed(sender: type[models.Model], instance: Any, **_: object) -> None:
    name = instance.name if isinstance(instance, Feed) else instance.feed.name
    transaction.on_commit(partial(_send, FEEDS_GROUP, {"type": "feeds.changed", "feed": name}), robust=True)


def _send(group: str, message: dict[str, object]) -> None:
    """A layer that is down must not fail the operator's request: logged and counted; the recheck finds the change."""
    try:
        async_to_sync(channel_layers["control"].group_send)(group, message)
    except Exception as error:
        NOTICES.labels(group, "failed").inc()
        log.error("notice to %s failed (%s: %s): %s", group, type(error).__name__, error, message)
    else:
        NOTICES.labels(group, "sent").inc()
