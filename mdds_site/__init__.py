"""The site: settings, ASGI, Celery, URLs and health; the only package that knows all others."""
