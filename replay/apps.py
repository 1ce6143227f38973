"""The replay application, as Django knows it."""

from django.apps import AppConfig


class ReplayConfig(AppConfig):
    """Replay jobs and their player."""

    name = "replay"
    verbose_name = "Replay"
    default_auto_field = "django.db.models.BigAutoField"
