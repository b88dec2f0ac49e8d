"""Whether this process lives, and whether the portal can be used."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask


def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer and every migration is applied; 503 and which is not, otherwise.

    Beat's last tick is information: without beat, what is clicked is still done.
    """
    checks: dict[str, Any] = {"database": _database(), "broker": _broker()}
    checks["migrations"] = _migrations() if checks["database"] == "ok" else "unknown"
    healthy = all(value == "ok" for value in checks.values())
    if checks["database"] == "ok":
        checks["beat_last_tick_seconds_ago"] = _beat_age()
    return JsonResponse(
        {"status": "ok" if healthy else "unavailable", **checks}, status=200 if healthy else 503
    )


def _database() -> str:
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001 - the answer is the state; the log of the database has the reason.
        connection.close()
        return "does not answer"
    return "ok"


def _broker() -> str:
    try:
        cache.set("health", "1", 5)
    except Exception:  # noqa: BLE001 - see _database().
        return "does not answer"
    return "ok"


_applied = False


def _migrations() -> str:
    global _applied  # noqa: PLW0603 - once they are applied they stay applied; the look costs many queries.
    if not _applied:
        executor = MigrationExecutor(connection)
        _applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return "ok" if _applied else "not applied"


def _beat_age() -> float | None:
    last = PeriodicTask.objects.filter(name="tasks.sweep").values_list("last_run_at", flat=True).first()
    return round((timezone.now() - last).total_seconds(), 1) if last else None
