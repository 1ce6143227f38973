"""The login page."""

from __future__ import annotations

from django.contrib.auth.views import LoginView
from django.urls import reverse


class PortalLoginView(LoginView):
    """Django's login in the portal's clothes; who is logged in already goes on."""

    template_name = "portal/login.html"
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        return reverse("portal:status")
