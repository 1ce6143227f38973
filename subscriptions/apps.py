"""The app configuration of the downstream part."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Downstream"

    def ready(self) -> None:
        from subscriptions import checks, notices, roles  # noqa: F401

        notices.connect()
        # Once, when the last app's permissions exist: a role spans apps.
        last = [config for config in apps.get_app_configs() if config.models_module][-1]
        post_migrate.connect(roles.ensure_roles, sender=last, dispatch_uid="roles")
