"""What the engine's benchmarks run: commands that do nothing, trees of them, and a Celery task that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import redis
from celery import shared_task
from django.conf import settings

from tasks.command import Command, Done, Failed, Result, Spawn, register, step

COUNTER = "bench:noop"
_client: redis.Redis | None = None


def client() -> redis.Redis:
    """One connection a process, as a real task would have."""
    global _client  # noqa: PLW0603 - see above.
    _client = _client or redis.Redis.from_url(settings.REDIS_URL)
    return _client


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


@register
@dataclass
class Leaf(Command):
    """One step that does nothing and can be taken back, or that fails."""

    key: str
    fails: bool = False

    kind: ClassVar[str] = "bench.leaf"
    title: ClassVar[str] = "Leaf"

    def locks(self) -> list[str]:
        """An entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def nothing(self) -> Result:
        """Do nothing."""
        return Failed("bench", "As it was asked to.") if self.fails else Done()

    @nothing.undo
    def nothing_back(self) -> Result:
        """Take nothing back."""
        return Done()


@register
@dataclass
class Tree(Command):
    """So many children; with `fails`, the last of them fails and all are taken back."""

    key: str
    count: int
    at_once: int
    fails: bool = False

    kind: ClassVar[str] = "bench.tree"
    title: ClassVar[str] = "Tree"

    def locks(self) -> list[str]:
        """An entity of its own."""
        return [f"bench:{self.key}"]

    @step
    def grow(self) -> Result:
        """Have children of one step each; those that need not be undone are the same as what runs alone."""
        keys = [f"{self.key}-{number}" for number in range(self.count)]
        if not self.fails:
            return Spawn([OneStep(key) for key in keys], at_once=self.at_once)
        return Spawn([Leaf(key, fails=key == keys[-1]) for key in keys], at_once=self.at_once)


@shared_task(name="bench.noop")
def noop(number: int) -> None:
    """Do nothing; the last one says that all are through."""
    client().incr(COUNTER)
