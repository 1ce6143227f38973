"""The login page."""

from __future__ import annotations

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import reverse

from portal.login_forms import PortalLoginForm
from portal.login_throttle import WINDOW_S


class PortalLoginView(LoginView):
    """Django's login in the portal's clothes; who is logged in already goes on."""

    template_name = "portal/login.html"
    redirect_authenticated_user = True
    authentication_form = PortalLoginForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Who has to wait is told so in the terms of HTTP, too."""
        response = super().form_invalid(form)
        if isinstance(form, PortalLoginForm) and form.throttled:
            response.status_code = 429
            response.headers["Retry-After"] = str(WINDOW_S)
        return response

    def get_default_redirect_url(self) -> str:
        return reverse("portal:status")
