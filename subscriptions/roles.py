"""The operators' roles: three groups and what each may do, put in place after every migrate."""

from typing import Any

from django.contrib.auth.models import Group, Permission

APPS = ("feeds", "subscriptions", "replay", "portal")
FULL = ("add", "change", "delete")
# Beyond viewing, which every role may: model to acts.
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "viewer": {},  # codename view_market_data is among the viewing ones: every role may watch live data
    "operator": {
        "exchange": FULL,
        "feed": FULL,
        "line": FULL,
        "tradingsession": FULL,
        "specialday": FULL,
        "instrument": FULL,
        "boardfacts": FULL,
        "replayjob": ("add", "change"),
    },
    "entitlement admin": {
        "subscriber": FULL,
        "contract": FULL,
        "product": FULL,
        "entitlement": FULL,
        "apikey": ("add", "change"),
    },
}


def ensure_roles(**_: Any) -> None:
    """Makes the groups and gives them what they lack; what was added to them by hand stays."""
    permissions = list(Permission.objects.filter(content_type__app_label__in=APPS))
    for role, models in ROLES.items():
        acts = {f"{act}_{model}" for model, of_model in models.items() for act in of_model}
        group, _created = Group.objects.get_or_create(name=role)
        group.permissions.add(*(row for row in permissions if row.codename in acts or row.codename.startswith("view_")))
