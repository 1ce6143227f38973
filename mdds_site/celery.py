"""The Celery application; the site's app configuration imports it, so that shared tasks find it in every process."""

import os

from celery import Celery
from celery.signals import celeryd_init
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdds_site.settings")

app = Celery("mdds", set_as_current=True)
app.config_from_object(settings.CELERY)
app.autodiscover_tasks()


@celeryd_init.connect
def _refuse_bad_settings(**_: object) -> None:
    from mdds_site.checks import refuse_to_start

    refuse_to_start()
