"""The site's app configuration: registers the checks of the environment, and makes the Celery application."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "mdds_site"
    verbose_name = "MDDS"

    def ready(self) -> None:
        from mdds_site import celery, checks  # noqa: F401
