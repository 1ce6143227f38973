"""System checks over the rights rows that no single constraint can express (run with --database default)."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from subscriptions.models import Entitlement
from subscriptions.models.subscriber import outside


@register(Tags.database)
def entitlements_inside_contracts(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: object
) -> list[CheckMessage]:
    """An entitlement outside its contract never holds: somebody believes in a right that is not there."""
    if not databases:
        return []
    found: list[CheckMessage] = []
    try:
        for entitlement in Entitlement.objects.select_related("contract", "product"):
            problem = outside(entitlement, contract=entitlement.contract)
            if problem:
                found.append(
                    Error(
                        f"It {problem}",
                        hint="Change its dates, or the contract's, in the admin.",
                        obj=f"Entitlement {entitlement.pk} of {entitlement.contract} to {entitlement.product}",
                        id="mdds.E201",
                    )
                )
    except DatabaseError:
        return []  # not migrated yet
    return found
