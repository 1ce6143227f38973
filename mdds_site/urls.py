"""The site's URLs."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from mdds_site import health
from mdds_site.api import api_urls

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("favicon.ico", RedirectView.as_view(url=static("portal/icon.svg"), permanent=True)),  # asked for unasked
    path("", include("django_prometheus.urls")),
    path("api/v1/", api_urls()),
    path("", include("portal.urls")),
]
