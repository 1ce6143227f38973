"""The portal's URLs."""

from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from portal.views import access_check, exports, feeds, first_steps, login, market, replays, status

app_name = "portal"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="portal:status"), name="home"),
    path("portal/", status.page, name="status"),
    path("portal/feeds/<slug:name>/", feeds.page, name="feed"),
    path("portal/login/", login.PortalLoginView.as_view(), name="login"),
    path("portal/logout/", LogoutView.as_view(next_page="portal:login"), name="logout"),
    path("portal/first-steps/", first_steps.page, name="first-steps"),
    path("portal/replay/", replays.jobs_page, name="replays"),
    path("portal/replay/estimate/", replays.estimate_part, name="replay-estimate"),
    path("portal/replay/<int:job_id>/", replays.job_page, name="replay-job"),
    path("portal/replay/<int:job_id>/progress/", replays.progress_part, name="replay-progress"),
    path("portal/replay/<int:job_id>/cancel/", replays.cancel, name="replay-cancel"),
    path("portal/market/", market.page, name="market"),
    path("portal/market/token/", market.token, name="market-token"),
    path("portal/access/", access_check.page, name="access"),
    path("portal/export/<str:table>.csv", exports.table_csv, name="export"),
]
