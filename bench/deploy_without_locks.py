"""The portal without locks, to be served by gunicorn: neither rows of `deploys` nor instances are locked.

The benchmark `deploy` runs it to show that its checks of the operators can fail.
"""

from typing import Any

from django.db.models import QuerySet

from portal.wsgi import application  # isort: skip - it sets Django up, which the commands need.

from deploys.commands import DeployServiceCommand


def _ignore_lock(queryset: QuerySet[Any], **_options: object) -> QuerySet[Any]:
    return queryset


def _get_no_locks(self: DeployServiceCommand) -> list[str]:
    return []


QuerySet.select_for_update = _ignore_lock  # type: ignore[method-assign, assignment]
DeployServiceCommand.locks = _get_no_locks  # type: ignore[method-assign]

__all__ = ["application"]
