"""The database, the broker, and Celery on it."""

import os

from django.core.exceptions import ImproperlyConfigured

from portal.service_urls import extract_password

from .environment import PRODUCTION, env, service_url

# --- Database and broker -----------------------------------------------------------------------------------

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
# A request that does not get a row lock within this time is refused as "busy" instead of holding a web thread.
LOCK_TIMEOUT_SECONDS = env.int("LOCK_TIMEOUT_SECONDS", default=5)
# `manage.py migrate` waits for a lock no longer than this, because requests wait behind it, and tries again.
MIGRATION_LOCK_SECONDS = env.float("MIGRATION_LOCK_SECONDS", default=0.5)
_waits = {"connect_timeout": 5, **DATABASES["default"].get("OPTIONS", {})}
DATABASES["default"]["OPTIONS"] = _waits | {"options": f"-c lock_timeout={LOCK_TIMEOUT_SECONDS * 1000}"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = service_url("REDIS_URL", "redis://127.0.0.1:6380/0", os.environ.get("REDIS_PASSWORD", ""))
if PRODUCTION and not extract_password(REDIS_URL):
    # Anyone who can write to the broker can make the workers run any task.
    raise ImproperlyConfigured(
        "The broker has no password; production does not start without one. Set `requirepass` in Redis and "
        "REDIS_PASSWORD here (see .env.example)."
    )
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "portal",
        # Increase it when the encoding of values changes. Version 1 used pickles.
        "VERSION": 2,
        "OPTIONS": {
            "serializer": "security.cache.JsonSerializer",
            # A dead Redis must not make requests hang.
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
        },
    },
}

# --- Celery (portal/celery.py) -----------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
# Never pickles: anyone who can write to the broker could run programs in every worker.
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
# By default, Celery closes the database connection after every task, and opening it costs more than a short task.
# `portal/celery.py` checks before a task whether the connection still works.
CELERY_DB_REUSE_MAX = 1_000_000_000
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A failed send is only logged, so a dead broker must fail fast: one attempt, one second.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # By default, kombu restores a crashed worker's message only after about 100 s, at every tenth poll.
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
}
CELERY_BEAT_SCHEDULER = "portal.beat:LeaderScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Beat writes the last runs after every tick, because health checks and the queue page read them.
CELERY_BEAT_SYNC_EVERY = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True
