"""Health endpoints: `live` for the process, `serving` for this web process with its servers, `ready` for the whole portal."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from cloudaccounts.services import list_stale_accounts
from tasks import queues
from tasks.canary import seconds_since_canary
from vms.services.status_sync import select_stale_states

from .metrics import has_metrics_token
from .replica_metrics import describe_replica
from .system_health import find_system_problems


def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process runs."""
    return JsonResponse({"status": "ok"})


def serving(request: HttpRequest) -> JsonResponse:
    """Answer 200 when this web process can answer: database and broker respond, every migration is applied. Otherwise 503.

    For load balancers and for the probes of containers. It ignores beat and workers: a healthy web process must not be
    removed or restarted because of another process, because it still shows data and records jobs.
    """
    checks = _check_process()
    healthy = all(value == "ok" for value in checks.values())
    return JsonResponse(
        {"status": "ok" if healthy else "unavailable", **checks}, status=200 if healthy else 503
    )


def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the portal works: this process can answer, beat runs, and jobs are processed.

    Otherwise 503: `status` is "unavailable" when this process cannot answer, and "degraded" when jobs are not processed;
    `problems` has the reasons. For monitoring; load balancers use `serving`.
    `queues` has for each queue its messages, whether a worker reads it, and how many seconds its oldest message and its
    oldest due job or poll have waited: also only information, because a long queue is no failure.
    Accounts whose VMs or resources were not synced for three intervals are only information, because a cloud that does not
    answer is no failure of the portal. So is `replica`, where there is one: without it, the primary answers.
    """
    checks: dict[str, Any] = _check_process()
    healthy = all(value == "ok" for value in checks.values())
    problems: dict[str, str] = {}
    if checks["database"] == "ok":
        if healthy:
            problems = find_system_problems()
        checks["beat_last_tick_seconds_ago"] = _rounded(queues.seconds_since_beat())
        checks["canary_seconds_ago"] = _rounded(seconds_since_canary())
        checks["queues"] = _describe_queues()
        checks |= describe_replica()
        if _may_see_accounts(request):
            checks |= _stale_accounts()
    status = "unavailable" if not healthy else "degraded" if problems else "ok"
    return JsonResponse(
        {"status": status, "problems": problems, **checks}, status=200 if status == "ok" else 503
    )


def _check_process() -> dict[str, Any]:
    checks: dict[str, Any] = {"database": _check_database()}
    if settings.RABBITMQ_URL:
        checks |= {"broker": _check_message_broker(), "cache": _check_cache()}
    else:  # Redis is both.
        checks["broker"] = _check_cache()
    checks["migrations"] = _check_migrations() if checks["database"] == "ok" else "unknown"
    return checks


def _describe_queues() -> dict[str, Any]:
    """Return the state of each queue. What the broker would have to tell is None when it does not answer in time."""
    broker, due = queues.broker_status(), queues.measure_queue_ages()
    return {
        name: {
            "messages": None if broker is None else broker.depths.get(name),
            "is_read": None if broker is None else name in broker.served,
            "oldest_message_seconds": None if broker is None else _rounded(broker.ages.get(name)),
            "oldest_due_seconds": _rounded(due.get(name, 0.0)),
        }
        for name in queues.known_queues()
    }


def _may_see_accounts(request: HttpRequest) -> bool:
    """Return whether the response may name accounts, which belong to tenants: for staff and for holders of `METRICS_TOKEN`.

    Call it only when the database answers, because the session is stored there.
    """
    return has_metrics_token(request) or bool(
        request.user.is_active and getattr(request.user, "is_staff", False)
    )


def _stale_accounts() -> dict[str, Any]:
    return {
        "vm_sync_stale": [
            {"account": state.account.name, "region": state.region, "listed_at": state.listed_at}
            for state in select_stale_states()
        ],
        "resource_sync_stale": [
            {"account": one.name, "type": one.type, "synced_at": one.synced_at}
            for one in list_stale_accounts()
        ],
    }


def _check_database() -> str:
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001 - any error means that it does not answer; the database's log has the reason.
        connection.close()
        return "does not answer"
    return "ok"


def _check_cache() -> str:
    try:
        cache.set("health", "1", 5)
    except Exception:  # noqa: BLE001 - see `_check_database`.
        return "does not answer"
    return "ok"


def _check_message_broker() -> str:
    try:
        with current_app.connection_for_write() as connection:
            connection.connect()
    except Exception:  # noqa: BLE001 - see `_check_database`.
        return "does not answer"
    return "ok"


_applied = False


def _check_migrations() -> str:
    global _applied  # noqa: PLW0603 - applied migrations stay applied, and the check costs many queries.
    if not _applied:
        executor = MigrationExecutor(connection)
        _applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return "ok" if _applied else "not applied"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
