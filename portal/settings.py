"""Every setting of the portal, read from the environment; `.env.example` explains each.

The defaults are those of the embedded run (`make up`).
With `PORTAL_ENV=production` the portal refuses to start without a secret key, allowed hosts, an encryption key and a
password for the broker.
"""

import os
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import django_stubs_ext
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from portal.log_format import logging_settings
from portal.service_urls import checked_url, password_of, with_password
from security.addresses import parse_networks

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(str(BASE_DIR / ".env"))

PORTAL_ENV = env.str("PORTAL_ENV", default="development")
if PORTAL_ENV not in {"development", "test", "production"}:
    raise ImproperlyConfigured(f"PORTAL_ENV is '{PORTAL_ENV}', not 'development', 'test' or 'production'.")
PRODUCTION = PORTAL_ENV == "production"


def required_in_production(name: str, development: str) -> str:
    """The value of an environment variable that has a default only outside production."""
    value: str = env.str(name, default="" if PRODUCTION else development)
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set; production does not start without it (see .env.example)."
        )
    return value


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
    "django.contrib.admin",
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
    "portal",
    "api",
    "tasks",
    "tenants",
    "cloudaccounts",
    "volumepool",
    "vms",
    "deploys",
]

MIDDLEWARE = [
    "api.request_id.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "api.private_answers.PrivateAnswersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "api.request_limits.RequestLimitsMiddleware",
    "api.login_backend.RenamedBackendMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "api.page_middleware.PageErrorsMiddleware",
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
            "builtins": ["portal.templatetags.forms"],
            "context_processors": [
                *(f"django.template.context_processors.{name}" for name in ("request", "i18n")),
                *(f"django.contrib.{name}.context_processors.{name}" for name in ("auth", "messages")),
                "api.page_addresses.addresses",
            ],
        },
    },
]

# --- Database and broker -----------------------------------------------------------------------------------


def service_url(name: str, default: str, password: str) -> str:
    """The address in an environment variable, with the password of another one where it holds none itself."""
    try:
        return with_password(checked_url(name, env.str(name, default="") or default), password)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


_database_url = service_url(
    "DATABASE_URL",
    "postgresql://portal:portal@127.0.0.1:5433/portal",
    # Not by `env`: it would take a password that begins with a dollar sign for the name of another variable.
    os.environ.get("DATABASE_PASSWORD", ""),
)
DATABASES = {
    "default": {
        **env.db_url_config(_database_url),
        # A connection is kept by its thread; a dead one is noticed before a request uses it.
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
    },
}
# A row lock that is not had within this time is refused as "busy" instead of holding a web thread.
LOCK_TIMEOUT_SECONDS = env.int("LOCK_TIMEOUT_SECONDS", default=5)
_waits = {"connect_timeout": 5, **DATABASES["default"].get("OPTIONS", {})}
DATABASES["default"]["OPTIONS"] = _waits | {"options": f"-c lock_timeout={LOCK_TIMEOUT_SECONDS * 1000}"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = service_url("REDIS_URL", "redis://127.0.0.1:6380/0", os.environ.get("REDIS_PASSWORD", ""))
if PRODUCTION and not password_of(REDIS_URL):
    # Whoever can write to the broker can have the workers run any task.
    raise ImproperlyConfigured(
        "The broker has no password; production does not start without one. Set `requirepass` in Redis and "
        "REDIS_PASSWORD here (see .env.example)."
    )
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "portal",
        # Raised when values are written in another way than before: 1 were pickles.
        "VERSION": 2,
        "OPTIONS": {
            "serializer": "security.cache.JsonSerializer",
            # A dead Redis must cost a request a moment, never a hang.
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
        },
    },
}

# --- Celery: doorbells only (portal/celery.py) -------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
# Never pickles: whoever can write to the broker could run programs in every worker.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CELERY_TASK_ROUTES = {
    "tasks.advance": {"queue": "jobs"},
    "tasks.*": {"queue": "polling"},
    "portal.*": {"queue": "polling"},
    "vms.*": {"queue": "sync"},
    "cloudaccounts.*": {"queue": "resources"},
    "volumepool.*": {"queue": "volumepool"},
    "deploys.*": {"queue": "deploys"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 270
# Celery would open a database connection for every doorbell, which costs more than the doorbell's work.
# `portal/celery.py` looks before each one whether the connection is still good.
CELERY_DB_REUSE_MAX = 1_000_000_000
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A ring that fails is only logged, so a dead broker must fail fast: one try, one second.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # By default kombu returns a crashed worker's message after about 100 s: it looks at every tenth poll only.
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
}
CELERY_BEAT_SCHEDULER = "portal.beat:OneBeatScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Written after every tick, so that the last one can be read (health, queue page).
CELERY_BEAT_SYNC_EVERY = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

# --- The task manager --------------------------------------------------------------------------------------

# How long a worker owns a job without a sign of life, and how often it gives one. See tasks/engine.py.
JOB_LEASE_SECONDS = env.float("JOB_LEASE_SECONDS", default=20.0)
# Claims of one step that ended without a record (a killed worker each time) before a person has to look.
# At least two: a job that a person lets go on counts its first try as made.
JOB_ATTEMPT_CAP = max(2, env.int("JOB_ATTEMPT_CAP", default=10))
JOB_SWEEP_SECONDS = env.int("JOB_SWEEP_SECONDS", default=5)
JOB_RETENTION_DAYS = env.int("JOB_RETENTION_DAYS", default=90)
# Which share of a worker's processes one tenant's work may hold at one time, by queue ("" for those that are not named): at
# least one process, and with 1 all of them. What comes beyond waits, and so leaves processes to other tenants.
TENANT_WORKER_SHARES = env.json("TENANT_WORKER_SHARES", default={"jobs": 0.75, "": 0.5})
# Requests that wait for a job, or follow one live, hold a web thread each: of WEB_THREADS, so many may be taken by them.
WAITING_REQUESTS_AT_MOST = env.int("WAITING_REQUESTS_AT_MOST", default=8)
JOB_EVENTS_SECONDS = env.float("JOB_EVENTS_SECONDS", default=60.0)

# How many rows of each kind a tenant may have, beside its quotas; null for any number. One more is refused with the figures.
TENANT_ROWS_AT_MOST = {
    "information_systems": 500,
    "cloud_accounts": 50,
    "hosts": 5000,
    "services": 1000,
    # Of one service.
    "versions": 2000,
    "instances": 10_000,
    "vm_snapshots": 2000,
    "volume_snapshots": 5000,
    **env.json("TENANT_ROWS_AT_MOST", default={}),
}

# --- Virtual machines --------------------------------------------------------------------------------------

VM_STATUS_SYNC_SECONDS = env.int("VM_STATUS_SYNC_SECONDS", default=300)
# How often every account is asked for the status of its volumes and their snapshots.
VOLUME_STATUS_SYNC_SECONDS = env.int("VOLUME_STATUS_SYNC_SECONDS", default=300)
# The share of an account's VMs that may be missing from one listing before the sync refuses to believe it.
VM_SYNC_MASS_LOSS_SHARE = env.float("VM_SYNC_MASS_LOSS_SHARE", default=1 / 3)
# Runs in between list what has changed; so often all servers are listed, which alone shows what is missing.
VM_FULL_SYNC_SECONDS = env.int("VM_FULL_SYNC_SECONDS", default=3600)
# How often accounts are looked at in which the cloud was last seen doing something to a VM.
VM_MOVING_SYNC_SECONDS = env.int("VM_MOVING_SYNC_SECONDS", default=20)
SYNC_RUN_RETENTION_DAYS = env.int("SYNC_RUN_RETENTION_DAYS", default=14)
RESIZE_CONFIRM_HOURS = env.float("RESIZE_CONFIRM_HOURS", default=24)
RUNTIME_WARN_DAYS = env.int("RUNTIME_WARN_DAYS", default=3)
# How long a console's address is shown to who asked for it; Nova's own limit is ten minutes.
CONSOLE_URL_SECONDS = env.int("CONSOLE_URL_SECONDS", default=600)
ORPHAN_SWEEP_SECONDS = env.int("ORPHAN_SWEEP_SECONDS", default=600)
# Whether what the portal made and knows no more is removed by itself, not only reported.
ORPHANS_REMOVE = env.bool("ORPHANS_REMOVE", default=False)

# --- Addresses that clouds and hosts may have (security/policies.py) ---------------------------------------

# DomainError whatever else is allowed, beside the metadata services of the big clouds: addresses and networks, with commas.
DENIED_ADDRESSES = env.list("DENIED_ADDRESSES", default=[])
# Exceptions from all that is refused, but for the portal's own database and broker.
ALLOWED_ADDRESSES = env.list("ALLOWED_ADDRESSES", default=[])
# Off where every cloud and host is on the public internet.
ALLOW_PRIVATE_ADDRESSES = env.bool("ALLOW_PRIVATE_ADDRESSES", default=True)
for _name, _networks in (("DENIED_ADDRESSES", DENIED_ADDRESSES), ("ALLOWED_ADDRESSES", ALLOWED_ADDRESSES)):
    try:
        parse_networks(_networks)
    except ValueError as _error:
        raise ImproperlyConfigured(f"{_name} holds no address or network: {_error}.") from None

# --- Clouds ------------------------------------------------------------------------------------------------

OS_CLOUD = env.str("OS_CLOUD", default="")
# A proxy that all requests to clouds go through, as http://proxy.example.org:3128. It resolves the clouds' names, so it must
# refuse internal addresses itself. HTTPS_PROXY and the like count for nothing.
CLOUD_PROXY = env.str("CLOUD_PROXY", default="")
# Clouds at the portal's own machine and link are refused unless this allows them.
ALLOW_LOCAL_CLOUDS = env.bool("ALLOW_LOCAL_CLOUDS", default=not PRODUCTION)
# A cloud whose clock is further than this from the portal's is reported on its account, its syncs and in the metrics.
CLOUD_CLOCK_WARN_SECONDS = env.float("CLOUD_CLOCK_WARN_SECONDS", default=30.0)
# More than this share of a type gone at once is believed only when a person says so.
RESOURCE_MASS_LOSS_SHARE = env.float("RESOURCE_MASS_LOSS_SHARE", default=0.5)
SYNC_LOG_RETENTION_DAYS = env.int("SYNC_LOG_RETENTION_DAYS", default=30)
# What was seen changed, and what has expired, is remembered for so long.
RESOURCE_RETENTION_DAYS = env.int("RESOURCE_RETENTION_DAYS", default=90)
# What every server and volume that the portal makes carries. Two portals on one project need two names.
CLOUD_TAG = env.str("CLOUD_TAG", default="portal")
POOL_BACKFILL_SECONDS = env.int("POOL_BACKFILL_SECONDS", default=30)
POOL_RECONCILE_SECONDS = env.int("POOL_RECONCILE_SECONDS", default=300)
POOL_IN_FLIGHT_PER_ACCOUNT = env.int("POOL_IN_FLIGHT_PER_ACCOUNT", default=10)
POOL_QUOTA_KEPT_PERCENT = env.int("POOL_QUOTA_KEPT_PERCENT", default=10)
VOLUME_POOLS = env.json("VOLUME_POOLS", default={})
POOL_HISTORY_DAYS = env.int("POOL_HISTORY_DAYS", default=90)

# --- Deployments -------------------------------------------------------------------------------------------

# Whether hosts may be of this machine or of a link-local network.
ALLOW_LOCAL_HOSTS = env.bool("ALLOW_LOCAL_HOSTS", default=not PRODUCTION)
# Programs of the executor `command`, by name: {"name": ["/path/to/program", "argument"]}.
DEPLOY_PROGRAMS = env.json("DEPLOY_PROGRAMS", default={})
DEPLOY_SECONDS = env.float("DEPLOY_SECONDS", default=200)

# --- Who ---------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["api.login_backend.PasswordBackend"]
PASSWORD_HASHERS = [f"api.password_hashers.FewAtOnce{name}PasswordHasher" for name in ("Argon2", "PBKDF2")]
# Of each web process; a hash takes 100 MB. What comes meanwhile waits a little, and is then answered 503.
PASSWORD_HASHES_AT_ONCE = max(1, env.int("PASSWORD_HASHES_AT_ONCE", default=2))
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "vm-page"
LOGOUT_REDIRECT_URL = "login"

# Wrong passwords (api/login_throttle.py): for a name from one network, for a name from all of them together,
# both forgotten within the cool-off, and from one network for all names.
LOGIN_FAILURE_LIMIT = max(1, env.int("LOGIN_FAILURE_LIMIT", default=10))
LOGIN_NAME_LIMIT = max(1, env.int("LOGIN_NAME_LIMIT", default=30))
LOGIN_COOLOFF_HOURS = env.float("LOGIN_COOLOFF_HOURS", default=0.25)
LOGIN_NETWORK_RATE = env.str("RATE_LOGIN", default="30/min")
# How many proxies of our own stand before the portal; so many entries of X-Forwarded-For are believed.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)

REST_KNOX = {
    "TOKEN_MODEL": "portal_api.ApiToken",
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_TTL": None,
    "AUTO_REFRESH": False,
}
KNOX_TOKEN_MODEL = REST_KNOX["TOKEN_MODEL"]
# Knox's own migrations would make its table although our model stands in for it.
MIGRATION_MODULES = {"knox": None}
API_TOKEN_DAYS = env.int("API_TOKEN_DAYS", default=90)
# Into a tenant: how many may stand open, and for how long.
INVITATIONS_PER_TENANT = env.int("INVITATIONS_PER_TENANT", default=50)
INVITATION_DAYS = env.int("INVITATION_DAYS", default=7)

# --- REST --------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.TokenAuthentication",
        "api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "api.paging.Pages",
    "DEFAULT_FILTER_BACKENDS": [f"api.filtering.{name}" for name in ("Filters", "Search", "Ordering")],
    "DEFAULT_THROTTLE_CLASSES": ["api.throttling.ActionClassThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "read": env.str("RATE_READ", default="6000/min"),
        "change": env.str("RATE_CHANGE", default="1200/min"),
    },
    "DEFAULT_SCHEMA_CLASS": "api.schema.Schema",
    "EXCEPTION_HANDLER": "api.errors.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # No body of ours comes near one megabyte.
FILE_UPLOAD_HANDLERS = ["api.request_limits.NoUploads"]
# Messages about what was entered repeat it; see api/answer_limits.py.
FORM_RENDERER = "api.answer_limits.LimitedFormRenderer"

SPECTACULAR_SETTINGS = {
    "TITLE": "Portal API",
    "DESCRIPTION": "Tenants, information systems, virtual machines and the jobs that change them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # No validator: it would send our document's address to somebody else.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStatusEnum": "tasks.models.JobStatus",
        "StepStatusEnum": "tasks.models.StepStatus",
        "VMStatusEnum": "vms.models.VMStatus",
        "DesiredStateEnum": "vms.models.virtual_machine.VirtualMachine.DesiredState",
        "RoleEnum": "tenants.scoping.Role",
        "VerificationEnum": "cloudaccounts.models.accounts.CloudAccount.Verification",
    },
}

# --- Language and time -------------------------------------------------------------------------------------

LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="en")
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
# Times are kept in UTC, and REST and logs write them so. Pages show them in the person's zone, the tenant's, or this one,
# which also says what a day is for tenants that have chosen none.
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

# What a Prometheus sends as its bearer token to read /metrics. Production shows nothing without one.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- Logs --------------------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
REQUEST_LOG_LEVEL = env.str("REQUEST_LOG_LEVEL", default="WARNING")
LOGGING = logging_settings(production=PRODUCTION, level=LOG_LEVEL, request_level=REQUEST_LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# RequestIdMiddleware has settled the header by then; without this the log and the jobs would have an id of their own.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True

if PORTAL_ENV == "test":
    # Argon2 is slow by design; tests log in thousands of times.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
