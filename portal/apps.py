"""The portal application, as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PortalConfig(AppConfig):
    """Live operation: status, replays, first steps."""

    name = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        """Make the roles once the permissions they hold exist."""
        from portal.access import make_roles

        post_migrate.connect(make_roles, sender=self, dispatch_uid="portal.make_roles")
