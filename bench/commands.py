"""The work of the engine's benchmark: a command of one step, and a Celery task that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import redis
from celery import shared_task
from django.conf import settings

from tasks.command import Command, Done, Result, register, step

COUNTER = "bench:noop"
_client: redis.Redis | None = None


@register
@dataclass
class OneStep(Command):
    """One step that does nothing, on an entity of its own."""

    key: str

    kind: ClassVar[str] = "bench.one_step"
    title: ClassVar[str] = "Bench"

    def locks(self) -> list[str]:
        """An entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def nothing(self) -> Result:
        """Do nothing."""
        return Done()


@shared_task(name="bench.noop")
def noop(number: int) -> None:
    """Do nothing; the last one says that all are through."""
    global _client  # noqa: PLW0603 - one connection a process, as a real task would have.
    _client = _client or redis.Redis.from_url(settings.REDIS_URL)
    _client.incr(COUNTER)
