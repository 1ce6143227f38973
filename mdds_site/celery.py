"""The Celery application; the site's app configuration imports it, so that shared tasks find it in every process."""

import logging
import os

from celery import Celery
from celery.signals import celeryd_init, worker_init
from django.conf import settings

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdds_site.settings")

app = Celery("mdds", set_as_current=True)
app.config_from_object(settings.CELERY)
app.autodiscover_tasks()


@celeryd_init.connect
def _refuse_bad_settings(**_: object) -> None:
    from mdds_site.checks import refuse_to_start

    refuse_to_start()


@worker_init.connect
def _serve_metrics(**_: object) -> None:
    """A worker process has its own port, the first free one of its kind; the embedded worker sends no signals."""
    from feeds.metrics_port import MetricsPortBusy, start_metrics_port

    for index in range(8):
        try:
            return start_metrics_port(settings.MDDS.metrics_port("replay", index))
        except MetricsPortBusy as error:
            log.info("%s", error)
    log.warning("no metrics port is free for this worker; it works without")
