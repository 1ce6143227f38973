"""Tells running workers, on commit, that rights or feeds have changed.

Group `rights`: {"type": "rights.changed", "what", "subscriber": id or None (all), "keys": [public ids]}.
Group `feeds`: {"type": "feeds.changed", "feed": name}. A notice says where to look again, never what is there.
"""

import logging
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from prometheus_client import Counter

from feeds.models import Feed, Line
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber

log = logging.getLogger(__name__)

RIGHTS_GROUP = "rights"
FEEDS_GROUP = "feeds"
NOTICES = Counter("mdds_notices_total", "Notices of changed rows, by group and outcome.", ["group", "outcome"])


def connect() -> None:
    """Called once, when the apps are ready."""
    for model in (ApiKey, Subscriber, Contract, Entitlement, Product):
        for signal in (post_save, post_delete):
            signal.connect(_rights_changed, sender=model, dispatch_uid=f"notices.{model.__name__}")
    for model in (Feed, Line):
        for signal in (post_save, post_delete):
            signal.connect(_feeds_changed, sender=model, dispatch_uid=f"notices.{model.__name__}")


def publish_rights(what: str, *, subscriber_id: int | None, key_ids: list[str]) -> None:
    """To all gateways; `subscriber_id` None concerns every session."""
    _send(RIGHTS_GROUP, {"type": "rights.changed", "what": what, "subscriber": subscriber_id, "keys": sorted(key_ids)})


def _rights_changed(sender: type[models.Model], instance: Any, **_: object) -> None:
    subscriber_id = _subscriber_of(instance)
    keys = [instance.public_id] if isinstance(instance, ApiKey) else []
    what = sender.__name__.lower()
    transaction.on_commit(partial(_publish_after_commit, what, subscriber_id, keys), robust=True)


def _publish_after_commit(what: str, subscriber_id: int | None, keys: list[str]) -> None:
    if not keys and subscriber_id is not None:
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
