"""The Celery application."""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdds_site.settings")

from mdds_site.checks import refuse_to_start  # noqa: E402

refuse_to_start()
app = Celery("mdds")
app.conf.update(settings.CELERY)
app.autodiscover_tasks()
