"""The portal application, as Django knows it."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_login_failed


class PortalConfig(AppConfig):
    """Live operation: status, replays, first steps."""

    name = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from portal import login_throttle

        user_login_failed.connect(login_throttle.failed, dispatch_uid="login throttle")
        user_logged_in.connect(login_throttle.succeeded, dispatch_uid="login throttle")
