"""The database, the broker, and Celery on it."""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from portal.service_urls import extract_password, is_sentinel_url, parse_sentinel_url

from .environment import PRODUCTION, env, service_url

# --- Database and broker -----------------------------------------------------------------------------------

# A request that does not get a row lock within this time is refused as "busy" instead of holding a web thread.
LOCK_TIMEOUT_SECONDS = env.int("LOCK_TIMEOUT_SECONDS", default=5)
# A connection whose other end does not answer for this long is dead, and both ends close it: that of the portal, and that of
# PostgreSQL, which then frees the locks of an interrupted transaction. By default, the kernel tries for 16 minutes to deliver
# what is under way, and looks after an idle connection after two hours. Not much shorter than a lease: on a network that
# loses many packets, a packet may need several attempts.
TCP_TIMEOUT_SECONDS = env.int("TCP_TIMEOUT_SECONDS", default=15)
if TCP_TIMEOUT_SECONDS < 3:
    raise ImproperlyConfigured(
        f"TCP_TIMEOUT_SECONDS is {TCP_TIMEOUT_SECONDS}; set it to at least 3 seconds, or a single lost packet would cut a connection."
    )
# An idle connection is probed at each third of the time.
_probe_seconds = TCP_TIMEOUT_SECONDS // 3
_TCP_LIMITS = {
    "tcp_user_timeout": TCP_TIMEOUT_SECONDS * 1000,
    "keepalives_idle": _probe_seconds,
    "keepalives_interval": _probe_seconds,
    "keepalives_count": 3,
}
# Not by `env`: it would take a password that begins with a dollar sign for the name of another variable.
_database_password = os.environ.get("DATABASE_PASSWORD", "")
# "transaction" behind PgBouncer in that mode: see docs/pgbouncer.md.
DATABASE_POOLER = env.str("DATABASE_POOLER", default="")
if DATABASE_POOLER not in {"", "transaction"}:
    raise ImproperlyConfigured(
        f"DATABASE_POOLER is '{DATABASE_POOLER}'; set it to 'transaction' behind PgBouncer with that pool_mode, and leave "
        "it empty for a direct connection or any pooler that keeps sessions."
    )


def _read_database(url: str, *, pooler: str, tcp_limits: dict[str, int] = _TCP_LIMITS) -> dict[str, Any]:
    """Return the entry of `DATABASES` for a URL, whose own parameters go before `tcp_limits`."""
    database: dict[str, Any] = {
        **env.db_url_config(url),
        # A connection is kept by its thread; a dead one is noticed before a request uses it.
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
        # Such a cursor lives in a session, and the pooler gives each transaction another one.
        "DISABLE_SERVER_SIDE_CURSORS": bool(pooler),
    }
    options = {
        # For each server that the URL names.
        "connect_timeout": 5,
        **tcp_limits,
        **database.get("OPTIONS", {}),
    }
    if not pooler:
        # PgBouncer refuses these, or drops them when it is told to: its own configuration sets them (docs/pgbouncer.md).
        session = {
            "lock_timeout": LOCK_TIMEOUT_SECONDS * 1000,
            "tcp_keepalives_idle": _probe_seconds,
            "tcp_keepalives_interval": _probe_seconds,
            "tcp_keepalives_count": 3,
            "tcp_user_timeout": TCP_TIMEOUT_SECONDS * 1000,
        }
        options["options"] = " ".join(f"-c {name}={value}" for name, value in session.items())
    return database | {"OPTIONS": options}


def _read_replica() -> dict[str, Any]:
    """Return the entry of `DATABASES` for the replica. It may be behind a pooler, too, in the mode of the primary's."""
    url = service_url("DATABASE_REPLICA_URL", "", _database_password, separate_setting="DATABASE_PASSWORD")
    # A replica whose machine is gone must not hold a request: it is given up after a few seconds, also during a query.
    tcp_limits = {
        "tcp_user_timeout": 3000,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
    }
    replica = _read_database(url, pooler=DATABASE_POOLER, tcp_limits=tcp_limits)
    options = {**replica["OPTIONS"], "connect_timeout": 2}
    if not DATABASE_POOLER:
        # Nothing is written to it, even after it was promoted.
        options["options"] += " -c default_transaction_read_only=on"
    return replica | {"OPTIONS": options, "TEST": {"MIRROR": "default"}}


DATABASES = {
    "default": _read_database(
        service_url("DATABASE_URL", "postgresql://portal:portal@127.0.0.1:5433/portal", _database_password),
        pooler=DATABASE_POOLER,
    ),
}
# The same database without a pooler, for what needs a session of its own (portal/direct_connection.py).
DATABASE_DIRECT: dict[str, Any] | None = None
if env.str("DATABASE_DIRECT_URL", default=""):
    DATABASE_DIRECT = _read_database(
        service_url("DATABASE_DIRECT_URL", "", _database_password, separate_setting="DATABASE_PASSWORD"),
        pooler="",
    )
elif DATABASE_POOLER:
    raise ImproperlyConfigured(
        "DATABASE_POOLER is set and DATABASE_DIRECT_URL is not. Beat's lock and migrations need sessions, which a "
        "pooler in transaction mode does not keep: set it to the address of PostgreSQL itself."
    )
# A read-only streaming standby, from which lists are read: see docs/replica.md.
DATABASE_REPLICA_MAX_LAG_SECONDS = env.float("DATABASE_REPLICA_MAX_LAG_SECONDS", default=10)
HAS_DATABASE_REPLICA = bool(env.str("DATABASE_REPLICA_URL", default=""))
DATABASE_ROUTERS: list[str] = []
if HAS_DATABASE_REPLICA:
    if DATABASE_REPLICA_MAX_LAG_SECONDS < 2:
        raise ImproperlyConfigured(
            f"DATABASE_REPLICA_MAX_LAG_SECONDS is {DATABASE_REPLICA_MAX_LAG_SECONDS:g}; set it to at least 2. The lag is measured "
            "every second, so a shorter one cannot be told from none."
        )
    DATABASES["replica"] = _read_replica()
    DATABASE_ROUTERS.append("api.replica.routing.ReplicaRouter")
# `manage.py migrate` waits for a lock no longer than this, because requests wait behind it, and tries again.
MIGRATION_LOCK_SECONDS = env.float("MIGRATION_LOCK_SECONDS", default=0.5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = service_url("REDIS_URL", "redis://127.0.0.1:6380/0", os.environ.get("REDIS_PASSWORD", ""))
_sentinel = parse_sentinel_url("REDIS_URL", REDIS_URL) if is_sentinel_url(REDIS_URL) else None
# (host, port) of each; empty for a single Redis.
REDIS_SENTINELS = list(_sentinel.sentinels) if _sentinel else []
REDIS_SENTINEL_MASTER = _sentinel.master if _sentinel else ""
# A dead Sentinel must not make requests hang: the next one is asked.
REDIS_SENTINEL_OPTIONS = {
    "password": env.str("REDIS_SENTINEL_PASSWORD", default="") or None,
    "socket_connect_timeout": 0.5,
    "socket_timeout": 0.5,
}
# RabbitMQ as the broker; Redis then only has the cache. Not BROKER_URL: the program `celery` would take the variable of that
# name for the broker, without the password.
RABBITMQ_URL = (
    service_url("RABBITMQ_URL", "", os.environ.get("RABBITMQ_PASSWORD", ""))
    if env.str("RABBITMQ_URL", default="")
    else ""
)
if RABBITMQ_URL and urlsplit(RABBITMQ_URL).scheme not in {"amqp", "amqps"}:
    raise ImproperlyConfigured(
        f"RABBITMQ_URL begins with '{urlsplit(RABBITMQ_URL).scheme}:'. It is for RabbitMQ, amqp:// or amqps://; leave it "
        "empty where Redis is the broker."
    )
if PRODUCTION and not all(extract_password(url) for url in (REDIS_URL, RABBITMQ_URL or REDIS_URL)):
    # Anyone who can write to the broker can make the workers run any task.
    raise ImproperlyConfigured(
        "The broker has no password; production does not start without one. Set `requirepass` in Redis and "
        "REDIS_PASSWORD here, and RABBITMQ_PASSWORD where RABBITMQ_URL is set (see .env.example)."
    )
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _sentinel.redis_url if _sentinel else REDIS_URL,
        "KEY_PREFIX": "portal",
        # Increase it when the encoding of values changes. Version 1 used pickles.
        "VERSION": 2,
        "OPTIONS": {
            "serializer": "security.cache.JsonSerializer",
            # A dead Redis must not make requests hang.
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
            **({"pool_class": "security.sentinel.PrimaryPool"} if _sentinel else {}),
        },
    },
}

# --- Celery (portal/celery.py) -----------------------------------------------------------------------------

CELERY_BROKER_URL = RABBITMQ_URL or (_sentinel.broker_url if _sentinel else REDIS_URL)
# Never pickles: anyone who can write to the broker could run programs in every worker.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CELERY_TASK_ROUTES = {
    "tasks.advance": {"queue": "jobs"},
    "tasks.*": {"queue": "polling"},
    "portal.*": {"queue": "polling"},
    "events.*": {"queue": "polling"},
    # Deliveries wait for receivers, so they are kept away from the queues of jobs.
    "notifications.*": {"queue": "sync"},
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
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    # By default, kombu restores a crashed worker's message only after about 100 s, at every tenth poll.
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
    # A worker waits for messages without a timeout. Linux has all of these options.
    "socket_keepalive_options": {
        getattr(socket, name): value
        for name, value in (
            ("TCP_KEEPIDLE", _probe_seconds),
            ("TCP_KEEPINTVL", _probe_seconds),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", TCP_TIMEOUT_SECONDS * 1000),
        )
        if hasattr(socket, name)
    },
}
if _sentinel:
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "master_name": _sentinel.master,
        "sentinel_kwargs": REDIS_SENTINEL_OPTIONS,
    }
if RABBITMQ_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"read_timeout": 5, "write_timeout": 5}
    # RabbitMQ closes the connection of a web process that sends nothing for minutes, and a restart closes all of them:
    # the first message after that fails, and is sent once more over a new connection.
    CELERY_TASK_PUBLISH_RETRY = True
    CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
    # Not written to disk: a lost message is sent again by the sweep.
    CELERY_TASK_DEFAULT_DELIVERY_MODE = "transient"
CELERY_BEAT_SCHEDULER = "portal.beat:LeaderScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Beat writes the last runs after every tick, because health checks and the queue page read them.
CELERY_BEAT_SYNC_EVERY = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True
