"""The portal as it would be without locks, to be served by gunicorn: no row of `deploys` is locked, no instance by the engine.

It shows that what the benchmark `deploy` checks of the operators can fail.
"""

from typing import Any

from django.db.models import QuerySet

from portal.wsgi import application  # isort: skip - it sets Django up, which the commands need.

from deploys.commands import DeployServiceCommand


def _unlocked(rows: QuerySet[Any], **_options: object) -> QuerySet[Any]:
    return rows


def _no_locks(self: DeployServiceCommand) -> list[str]:
    return []


QuerySet.select_for_update = _unlocked  # type: ignore[method-assign, assignment]
DeployServiceCommand.locks = _no_locks  # type: ignore[method-assign]

__all__ = ["application"]
