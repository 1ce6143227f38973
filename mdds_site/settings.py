"""Django's settings, all derived from the typed environment of mdds_site.env."""

import os
from pathlib import Path

from mdds_site import admin_look, celery_settings, channel_layers_settings, data_dir, databases, env

BASE_DIR = Path(__file__).resolve().parent.parent

_read, _environment_problems = env.read_environment(os.environ, root=BASE_DIR)
MDDS, _folder_problems = data_dir.prepare(_read)
MDDS_PROBLEMS = _environment_problems + _folder_problems  # mdds_site.checks prints them; nothing starts with any

DEBUG = MDDS.debug
SECRET_KEY = MDDS.secret_key
ALLOWED_HOSTS = list(MDDS.allowed_hosts)
_scheme = "https" if MDDS.tls else "http"
CSRF_TRUSTED_ORIGINS = list(MDDS.origins) or [f"{_scheme}://{host}:{MDDS.base_port}" for host in MDDS.allowed_hosts]

INSTALLED_APPS = [
    "mdds_site.apps.SiteConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "ninja",  # its docs page takes its assets from the package instead of a CDN
    "django_prometheus",
    "feeds.apps.FeedsConfig",
    "subscriptions.apps.SubscriptionsConfig",
    "replay.apps.ReplayConfig",
    "portal.apps.PortalConfig",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "mdds_site.security_headers.content_security_policy",
    "mdds_site.static_files.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "mdds_site.urls"
ASGI_APPLICATION = "mdds_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mdds_site.security_headers.csp_nonce",
            ],
        },
    },
]

DATABASES = databases.databases(MDDS.database_url, data_dir=MDDS.data_dir)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES: dict[str, dict[str, object]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": MDDS.redis_url,
        "KEY_PREFIX": MDDS.prefix,
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
    if MDDS.redis_url
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": MDDS.prefix}
}
CHANNEL_LAYERS = channel_layers_settings.channel_layers(MDDS.redis_url, prefix=MDDS.prefix)
CELERY = celery_settings.celery_settings(MDDS.celery_broker, prefix=MDDS.prefix)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "portal.login_throttle.ThrottleBackend",  # first: who has to wait has no password looked at
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "portal:login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 8 * 3600
# Cookies know no port: two systems on one machine must not overwrite each other's.
SESSION_COOKIE_NAME = f"{MDDS.prefix}_session"
CSRF_COOKIE_NAME = f"{MDDS.prefix}_csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MDDS.tls
SECURE_SSL_REDIRECT = MDDS.tls
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # probes and scrapes come without TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if MDDS.tls else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if MDDS.tls else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = MDDS.tls
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = MDDS.data_dir / "static"
WHITENOISE_USE_FINDERS = True  # serves straight from the packages: nothing to collect in the embedded default
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

PROMETHEUS_EXPORT_MIGRATIONS = False
UNFOLD = admin_look.UNFOLD
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "mdds_site.log_lines.OneLineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": MDDS.log_level},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "daphne.http_protocol": {"level": "WARNING"},
        "kombu.connection": {"level": "ERROR"},  # it warns that memory:// names no host
    },
}
