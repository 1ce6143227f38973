"""Who may do what in the portal: roles are Django groups (subscriptions/roles.py makes them).

| role | sees | acts |
|---|---|---|
| viewer | every page | nothing |
| operator | every page | replays |
| entitlement admin | every page | subscribers, keys and entitlements, in the admin |
| superuser | every page | everything |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

VIEWER = "viewer"
OPERATOR = "operator"
ENTITLEMENT_ADMIN = "entitlement admin"
ROLES = (VIEWER, OPERATOR, ENTITLEMENT_ADMIN)

Account = User | AnonymousUser
View = Callable[..., HttpResponseBase]


def roles_of(user: Account) -> frozenset[str]:
    """The roles of `user`; a superuser has them all, someone not logged in or not active none."""
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(ROLES)
    return frozenset(user.groups.values_list("name", flat=True)) & frozenset(ROLES)


def may_view(user: Account) -> bool:
    """Whether `user` may see the portal."""
    return bool(roles_of(user))


def may_operate(user: Account) -> bool:
    """Whether `user` may submit and cancel replays."""
    return OPERATOR in roles_of(user)


def viewer_required(view: View) -> View:
    """Only for those who may see; others log in, or are told that they may not."""
    return _guarded(view, may_view)


def operator_required(view: View) -> View:
    """Only for those who may act."""
    return _guarded(view, may_operate)


def _guarded(view: View, allowed: Callable[[Account], bool]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), reverse("portal:login"))
        if not allowed(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded
