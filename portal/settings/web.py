"""Secrets, applications, languages, static files and security headers."""

from typing import Any
from zoneinfo import available_timezones

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from .environment import BASE_DIR, PRODUCTION, env, required_in_production

# --- Secrets and hosts -------------------------------------------------------------------------------------

SECRET_KEY = required_in_production("SECRET_KEY", "development-only-" + "0" * 48)
# Newest first: the first key encrypts, all of them decrypt. Each is 32 bytes in URL-safe base64.
ENCRYPTION_KEYS = [
    key.strip()
    for key in required_in_production(
        "ENCRYPTION_KEYS", "ZGV2ZWxvcG1lbnQtb25seS1rZXktMzItYnl0ZXMtISE="
    ).split(",")
]
ALLOWED_HOSTS = required_in_production("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver").split(",")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
DEBUG = env.bool("DEBUG", default=False)
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG is on; in production it would show secrets on error pages. Unset it.")

# --- Applications ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Without its discovery, which `portal/urls.py` starts: a worker needs no admin, and it takes 20 MB.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "django_celery_beat",
    "django_structlog",
    "django_htmx",
    "heroicons",
    "django_cotton",
    "pages",
    "portal",
    "api",
    "tasks",
    "tenants",
    "events",
    "notifications",
    "approvals",
    "signin",
    "cloudaccounts",
    "volumepool",
    "networks",
    "vms",
    "deploys",
]

MIDDLEWARE = [
    "api.request_id.RequestIdMiddleware",
    "portal.request_metrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "api.cache_control.CacheControlMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "api.request_limits.RequestLimitsMiddleware",
    "api.login_backend.RenamedBackendMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "events.actors.ActorMiddleware",
    "api.sessions.SessionRecordMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "api.replica.positions.ReplicaPositionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "api.page_middleware.PageErrorsMiddleware",
    "signin.middleware.SecondFactorMiddleware",
    "api.password_checks.LoginThrottleMiddleware",
    "api.time_zones.TimeZoneMiddleware",
    "api.form_keys.FormKeyMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the templates of the admin, one of which is extended.
        "DIRS": [BASE_DIR / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "pages.templatetags.icons",
                "portal.templatetags.forms",
                "pages.templatetags.components",
            ],
            "context_processors": [
                *(f"django.template.context_processors.{name}" for name in ("request", "i18n")),
                *(f"django.contrib.{name}.context_processors.{name}" for name in ("auth", "messages")),
                "api.page_addresses.add_return_address",
            ],
        },
    },
]

# --- Language and time -------------------------------------------------------------------------------------

LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="en")
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
# Times are stored in UTC, and REST and logs write UTC. Pages show them in the user's time zone, the tenant's, or this one,
# which also defines the day for tenants without a time zone.
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_TIME_ZONE = env.str("DEFAULT_TIME_ZONE", default="UTC")
if DEFAULT_TIME_ZONE not in available_timezones():
    raise ImproperlyConfigured(
        f"DEFAULT_TIME_ZONE is '{DEFAULT_TIME_ZONE}', which is no time zone; name one as IANA does, such as Europe/Berlin."
    )
FORMAT_MODULE_PATH = ["portal.formats"]

# --- Static files ------------------------------------------------------------------------------------------

STATIC_URL = "static/"
# Only production collects static files; elsewhere WhiteNoise finds them in their packages.
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")) if PRODUCTION else None
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

# --- Security ----------------------------------------------------------------------------------------------

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    # The proxy in front ends TLS; it must set this header itself and drop a client's.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^health/"]
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31536000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
CSRF_FAILURE_VIEW = "api.errors.csrf_failed"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # Scripts and styles come from our own files alone; Swagger UI shows data: images.
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# The bearer token with which Prometheus reads /metrics. Production answers 404 without one.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# Where traces are sent by OTLP over HTTP, such as http://collector.example.org:4318. See portal/tracing.py.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
