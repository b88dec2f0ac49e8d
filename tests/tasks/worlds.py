"""A world outside the engine that tests can look at, and commands that change it.

`happened` is what was done out there, in order; `script` tells a step what to answer next.
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

happened: list[str] = []
script: dict[str, list[Result | Exception | Callable[[Any], Any]]] = {}
things: dict[str, str] = {}
looks: list[tuple[str, int]] = []
away: list[PollError] = []


def empty() -> None:
    """A new world."""
    for part in (happened, script, things, looks, away):
        part.clear()


def play(command: Command, name: str) -> Result:
    """Note that a step ran, starred when it was told that it may have run before; answer what the script says."""
    return answer(command, name + ("*" if command.retrying else ""), name)


def answer(command: Command, note: str, name: str) -> Result:
    """Note something, and answer what the script says next under a name."""
    happened.append(note)
    lines = script.get(name, [])
    line = lines.pop(0) if lines else Done()
    if callable(line):
        line = line(command) or Done()
    if isinstance(line, Exception):
        raise line
    return line


@register
@dataclass
class BuildHouse(Command):
    """Three steps, two of which can be undone."""

    key: str = "house"
    colour: str = "white"

    kind: ClassVar[str] = "test.build_house"
    title: ClassVar[str] = "Build"

    def locks(self) -> list[str]:
        return [f"house:{self.key}"]

    def entity(self) -> Entity:
        return Entity("house", self.key, self.key)

    def validate(self) -> list[Refusal]:
        return [Refusal("ugly", "Not pink.", "colour")] if self.colour == "pink" else []

    @step
    def lay(self) -> Result:
        return play(self, "lay")

    @lay.undo
    def unlay(self) -> Result:
        return play(self, "unlay")

    @step(deadline=minutes(5))
    def wall(self) -> Result:
        return play(self, "wall")

    @wall.undo
    def unwall(self) -> Result:
        return play(self, "unwall")

    @step
    def roof(self) -> Result:
        return play(self, "roof")

    def on_success(self) -> None:
        answer(self, "succeeded", "succeeded")

    def on_failure(self, failure: Failure) -> None:
        answer(self, f"failed:{failure.status}:{failure.code}", "failed")


@register
@dataclass
class PaintHouse(Command):
    """Another command on the same entity."""

    key: str = "house"

    kind: ClassVar[str] = "test.paint_house"
    title: ClassVar[str] = "Paint"

    def locks(self) -> list[str]:
        return [f"house:{self.key}"]

    @step
    def paint(self) -> Result:
        return play(self, "paint")


@register
@dataclass
class GrowTree(Command):
    """Waits for a thing of the world to be grown."""

    name: str = "tree"

    kind: ClassVar[str] = "test.grow_tree"
    title: ClassVar[str] = "Grow"

    @step
    def see_it_grown(self) -> Result:
        return Watch(
            "thing", "garden", self.name, until=frozenset({"grown"}), unless=frozenset({"dead", MISSING})
        )

    def on_success(self) -> None:
        happened.append(f"grown:{self.data['observed']['height']}")

    def on_failure(self, failure: Failure) -> None:
        happened.append(f"failed:{failure.code}:{failure.message}")


class ThingWatcher:
    """Looks at `things`."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        looks.append(("one", 1))
        if away:
            raise away[0]
        return self.seen(object_id)

    def poll_many(self, scope: str, object_ids: Sequence[str], since: datetime) -> Mapping[str, Observation]:
        looks.append(("many", len(object_ids)))
        if away:
            raise away[0]
        return {object_id: self.seen(object_id) for object_id in object_ids}

    def seen(self, object_id: str) -> Observation:
        status = things.get(object_id, MISSING)
        return Observation(status, "frost" if status == "dead" else "", {"height": 3})


register_watcher("thing", ThingWatcher())


@register
@dataclass
class BuildVillage(Command):
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
        return play(self, "survey")

    @survey.undo
    def unsurvey(self) -> Result:
        return play(self, "unsurvey")

    @step
    def build(self) -> Result:
        happened.append("build")
        return Spawn(
            [self.house(key) for key in self.houses],
            at_once=self.at_once,
            optional=self.optional,
            permanent=self.permanent,
        )

    @step
    def feast(self) -> Result:
        return play(self, "feast")

    def house(self, key: str) -> Command:
        return House(key, self.colour)

    def on_success(self) -> None:
        answer(self, "village:succeeded", "village:succeeded")

    def on_failure(self, failure: Failure) -> None:
        answer(self, f"village:{failure.status}:{failure.code}", "village:failed")


@register
@dataclass
class BuildCounty(BuildVillage):
    """A tree of three generations: its children are villages of two houses each."""

    kind: ClassVar[str] = "test.build_county"

    def locks(self) -> list[str]:
        return ["county"]

    def house(self, key: str) -> Command:
        return BuildVillage([f"{key}1", f"{key}2"])


@register
@dataclass
class House(Command):
    """One house of a village: what happens to it is noted under its own name."""

    key: str
    colour: str = "white"

    kind: ClassVar[str] = "test.house"
    title: ClassVar[str] = "House"

    def locks(self) -> list[str]:
        return [f"house:{self.key}"]

    def entity(self) -> Entity:
        return Entity("house", self.key, self.key)

    def validate(self) -> list[Refusal]:
        return [Refusal("ugly", "Not pink.", "colour")] if self.colour == "pink" else []

    @step
    def raise_it(self) -> Result:
        return play(self, f"raise {self.key}")

    @raise_it.undo
    def tear_down(self) -> Result:
        return play(self, f"tear {self.key}")

    @step
    def roof(self) -> Result:
        return play(self, f"roof {self.key}")

    def on_failure(self, failure: Failure) -> None:
        answer(self, f"{self.key}:{failure.status}:{failure.code}", f"failed {self.key}")
