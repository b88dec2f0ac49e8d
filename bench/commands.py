"""Commands that do nothing, trees of them, and a Celery task that does nothing, for the benchmarks of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import redis
from celery import shared_task
from django.conf import settings

from tasks.command import Command, Done, Failed, Result, Spawn, register, step

COUNTER = "bench:noop"
_client: redis.Redis | None = None


def get_redis_client() -> redis.Redis:
    """Return the connection of this process, which its tasks share."""
    global _client  # noqa: PLW0603 - see above.
    _client = _client or redis.Redis.from_url(settings.REDIS_URL)
    return _client


@register
@dataclass
class OneStepCommand(Command):
    """A command with one step that does nothing and locks an entity of its own."""

    key: str

    kind: ClassVar[str] = "bench.one_step"
    title: ClassVar[str] = "Bench"

    def locks(self) -> list[str]:
        """Lock an entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def nothing(self) -> Result:
        """Do nothing."""
        return Done()


@register
@dataclass
class LeafCommand(Command):
    """A command with one step that does nothing and can be undone, or that fails."""

    key: str
    fails: bool = False

    kind: ClassVar[str] = "bench.leaf"
    title: ClassVar[str] = "Leaf"

    def locks(self) -> list[str]:
        """Lock an entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def nothing(self) -> Result:
        """Do nothing."""
        return Failed("bench", "It had to fail.") if self.fails else Done()

    @nothing.undo
    def undo_nothing(self) -> Result:
        """Undo nothing."""
        return Done()


@register
@dataclass
class TreeCommand(Command):
    """A command with this many children; with `fails`, the last of them fails and all are undone."""

    key: str
    count: int
    at_once: int
    fails: bool = False

    kind: ClassVar[str] = "bench.tree"
    title: ClassVar[str] = "Tree"

    def locks(self) -> list[str]:
        """Lock an entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def grow(self) -> Result:
        """Spawn children of one step each; those without an undo are the same commands that run without a parent."""
        keys = [f"{self.key}-{number}" for number in range(self.count)]
        if not self.fails:
            return Spawn([OneStepCommand(key) for key in keys], at_once=self.at_once)
        return Spawn([LeafCommand(key, fails=key == keys[-1]) for key in keys], at_once=self.at_once)


@shared_task(name="bench.noop")
def noop(number: int) -> None:
    """Count the call, so that the caller knows when all have run."""
    get_redis_client().incr(COUNTER)
