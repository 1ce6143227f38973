"""The cast of the rights tests: Alice owns keys, Bob is another subscriber, Charlie has no contract."""

from __future__ import annotations

import datetime

from django.conf import settings

from feeds.config import MARKETS
from subscriptions import api_keys
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber

STARTS_ON = datetime.date(2026, 1, 1)


class Cast:
    """Rows a test may change, and the clear texts of the keys."""

    def __init__(self) -> None:
        self.realtime = Product.objects.create(
            code="rt", name="Real-time", markets=["STO", "STX"], channels=["trade", "depth", "status"]
        )
        self.public = Product.objects.create(
            code="pub", name="Public", markets=list(MARKETS), channels=["index"], level=1, public=True
        )
        self.alice = Subscriber.objects.create(code="alice", name="Alice")
        self.bob = Subscriber.objects.create(code="bob", name="Bob")
        self.charlie = Subscriber.objects.create(code="charlie", name="Charlie")
        self.alice_contract = Contract.objects.create(subscriber=self.alice, number="A-1", starts_on=STARTS_ON)
        self.bob_contract = Contract.objects.create(
            subscriber=self.bob, number="B-1", starts_on=STARTS_ON, sessions_max=3
        )
        self.alice_right = Entitlement.objects.create(contract=self.alice_contract, product=self.realtime)
        self.secrets: dict[str, str] = {}
        self.alice_key = self.key(self.alice)
        self.bob_key = self.key(self.bob)
        self.charlie_key = self.key(self.charlie)

    def key(self, subscriber: Subscriber) -> ApiKey:
        secret = api_keys.generate()
        self.secrets.setdefault(subscriber.code, secret.text)
        return ApiKey.objects.create(
            subscriber=subscriber,
            name=f"key of {subscriber.code}",
            public_id=secret.public_id,
            digest=api_keys.digest(secret, site_secret=settings.SECRET_KEY),
        )
