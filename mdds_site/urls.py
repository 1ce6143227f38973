"""The site's URLs."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from mdds_site import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("", include("django_prometheus.urls")),
    path("", include("portal.urls")),
]
