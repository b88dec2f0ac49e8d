"""An external system in memory, and commands that change it.

`calls` lists what the commands did, in order; `replies` has the next results of a step by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from tasks.command import (
    Command,
    Done,
    Entity,
    Failure,
    Refusal,
    Result,
    Spawn,
    Watch,
    minutes,
    register,
    step,
)
from tasks.polling import MISSING, Observation, PollError, register_watcher

calls: list[str] = []
replies: dict[str, list[Result | Exception | Callable[[Any], Any]]] = {}
objects: dict[str, str] = {}
polls: list[tuple[str, int]] = []
outages: list[PollError] = []


def reset() -> None:
    """Reset the external system to its empty state."""
    for collection in (calls, replies, objects, polls, outages):
        collection.clear()


def run_scripted(command: Command, name: str) -> Result:
    """Record that a step ran, with a star if it is `retrying`, and return its next scripted result."""
    return next_reply(command, name + ("*" if command.retrying else ""), name)


def next_reply(command: Command, note: str, name: str) -> Result:
    """Record a call, and return or raise the next scripted reply of a name; `Done` without one."""
    calls.append(note)
    pending = replies.get(name, [])
    reply = pending.pop(0) if pending else Done()
    if callable(reply):
        reply = reply(command) or Done()
    if isinstance(reply, Exception):
        raise reply
    return reply


class AboutHouseCommand(Command):
    """A command about one house, which it locks. No house may be pink."""

    key: str
    colour: str

    def locks(self) -> list[str]:
        return [f"house:{self.key}"]

    def entity(self) -> Entity:
        return Entity("house", self.key, self.key)

    def validate(self) -> list[Refusal]:
        return [Refusal("ugly", "Not pink.", "colour")] if self.colour == "pink" else []


@register
@dataclass
class BuildHouseCommand(AboutHouseCommand):
    """Three steps, two of which can be undone."""

    key: str = "house"
    colour: str = "white"

    kind: ClassVar[str] = "test.build_house"
    title: ClassVar[str] = "Build"

    @step
    def lay(self) -> Result:
        return run_scripted(self, "lay")

    @lay.undo
    def unlay(self) -> Result:
        return run_scripted(self, "unlay")

    @step(deadline=minutes(5))
    def wall(self) -> Result:
        return run_scripted(self, "wall")

    @wall.undo
    def unwall(self) -> Result:
        return run_scripted(self, "unwall")

    @step
    def roof(self) -> Result:
        return run_scripted(self, "roof")

    def on_success(self) -> None:
        next_reply(self, "succeeded", "succeeded")

    def on_failure(self, failure: Failure) -> None:
        next_reply(self, f"failed:{failure.status}:{failure.code}", "failed")


@register
@dataclass
class PaintHouseCommand(Command):
    """Another command on the same entity."""

    key: str = "house"

    kind: ClassVar[str] = "test.paint_house"
    title: ClassVar[str] = "Paint"

    def locks(self) -> list[str]:
        return [f"house:{self.key}"]

    @step
    def paint(self) -> Result:
        return run_scripted(self, "paint")


@register
@dataclass
class GrowTreeCommand(Command):
    """Wait until an object of the external system is grown."""

    name: str = "tree"

    kind: ClassVar[str] = "test.grow_tree"
    title: ClassVar[str] = "Grow"

    @step
    def see_it_grown(self) -> Result:
        return Watch(
            "thing", "garden", self.name, until=frozenset({"grown"}), unless=frozenset({"dead", MISSING})
        )

    def on_success(self) -> None:
        calls.append(f"grown:{self.data['observed']['height']}")

    def on_failure(self, failure: Failure) -> None:
        calls.append(f"failed:{failure.code}:{failure.message}")


class ObjectWatcher:
    """A watcher of `objects`."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        polls.append(("one", 1))
        if outages:
            raise outages[0]
        return self.observe(object_id)

    def poll_many(self, scope: str, object_ids: Sequence[str], since: datetime) -> Mapping[str, Observation]:
        polls.append(("many", len(object_ids)))
        if outages:
            raise outages[0]
        return {object_id: self.observe(object_id) for object_id in object_ids}

    def observe(self, object_id: str) -> Observation:
        status = objects.get(object_id, MISSING)
        return Observation(status, "frost" if status == "dead" else "", {"height": 3})


register_watcher("thing", ObjectWatcher())


@register
@dataclass
class BuildVillageCommand(Command):
    """Houses as children of one step, between two steps of its own."""

    houses: list[str]
    at_once: int = 1
    optional: bool = False
    permanent: bool = False
    colour: str = "white"

    kind: ClassVar[str] = "test.build_village"
    title: ClassVar[str] = "Build village"

    def locks(self) -> list[str]:
        return ["village"]

    @step
    def survey(self) -> Result:
        return run_scripted(self, "survey")

    @survey.undo
    def unsurvey(self) -> Result:
        return run_scripted(self, "unsurvey")

    @step
    def build(self) -> Result:
        calls.append("build")
        return Spawn(
            [self.house(key) for key in self.houses],
            at_once=self.at_once,
            optional=self.optional,
            permanent=self.permanent,
        )

    @step
    def feast(self) -> Result:
        return run_scripted(self, "feast")

    def house(self, key: str) -> Command:
        return HouseCommand(key, self.colour)

    def on_success(self) -> None:
        next_reply(self, "village:succeeded", "village:succeeded")

    def on_failure(self, failure: Failure) -> None:
        next_reply(self, f"village:{failure.status}:{failure.code}", "village:failed")


@register
@dataclass
class BuildCountyCommand(BuildVillageCommand):
    """A tree of three generations: its children are villages of two houses each."""

    kind: ClassVar[str] = "test.build_county"

    def locks(self) -> list[str]:
        return ["county"]

    def house(self, key: str) -> Command:
        return BuildVillageCommand([f"{key}1", f"{key}2"])


@register
@dataclass
class HouseCommand(AboutHouseCommand):
    """One house of a village. Its calls are recorded under its own key."""

    key: str
    colour: str = "white"

    kind: ClassVar[str] = "test.house"
    title: ClassVar[str] = "House"

    @step
    def raise_it(self) -> Result:
        return run_scripted(self, f"raise {self.key}")

    @raise_it.undo
    def tear_down(self) -> Result:
        return run_scripted(self, f"tear {self.key}")

    @step
    def roof(self) -> Result:
        return run_scripted(self, f"roof {self.key}")

    def on_failure(self, failure: Failure) -> None:
        next_reply(self, f"{self.key}:{failure.status}:{failure.code}", f"failed {self.key}")
