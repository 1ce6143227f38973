"""The login forms of the portal and of the admin: they say so when somebody has to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm as UnfoldAuthenticationForm

from portal import login_throttle

if TYPE_CHECKING:
    _Form = AuthenticationForm
else:
    _Form = object

TOO_MANY = f"Too many failed logins. Wait {login_throttle.WINDOW_S // 60} minutes, then try again."


class _TellsOfTheWait(_Form):
    throttled = False

    def get_invalid_login_error(self) -> Any:
        """The same for a right and for a wrong password: while one waits neither is looked at."""
        if self.request is not None and login_throttle.waits(self.request, self.cleaned_data.get("username", "")):
            self.throttled = True
            return ValidationError(TOO_MANY, code="throttled")
        return super().get_invalid_login_error()


class PortalLoginForm(_TellsOfTheWait, AuthenticationForm):
    pass


class AdminLoginForm(_TellsOfTheWait, UnfoldAuthenticationForm):
    pass
