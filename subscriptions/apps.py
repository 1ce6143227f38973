"""The app configuration of the downstream part."""

from django.apps import AppConfig


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Downstream"

    def ready(self) -> None:
        from subscriptions import checks, notices  # noqa: F401

        notices.connect()
