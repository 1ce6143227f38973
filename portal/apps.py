"""The portal application, as Django knows it."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Live operation: status, replays, first steps."""

    name = "portal"
    verbose_name = "Portal"
