"""The app configuration of the upstream part."""

from django.apps import AppConfig


class FeedsConfig(AppConfig):
    name = "feeds"
    verbose_name = "Upstream"

    def ready(self) -> None:
        from feeds import checks  # noqa: F401
