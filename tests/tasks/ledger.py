"""An outside that keeps account of every effect, and commands that look for their own before they have it again.

In `worlds` a step notes that it ran; here it leaves something behind, once, and its undo takes that away.
Both know only what the engine tells them, as commands of the portal do: a step looks for its effect when `retrying`
says so, and an undo looks when the job's data has the effect or names the step as `unrecorded`.
An engine that tells them the wrong thing makes an effect twice, or leaves one behind, and the book shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from tasks.command import (
    Command,
    Done,
    Entity,
    Failed,
    Failure,
    Refusal,
    Result,
    Spawn,
    Wait,
    Watch,
    register,
    step,
)
from tasks.models import JobLogLine, Step, StepStatus
from tasks.polling import MISSING

from . import worlds

# No deadline passes by itself while a test lets everything settle: what ends there was woken, not given up.
LONG = timedelta(hours=100)
WAIT_SECONDS = 30.0

UNDO_OF = {"buy": "sell", "grow": "uproot", "survey": "fill_in", "furnish": "clear"}


class Short:
    """Shown with what is out of the ordinary alone: a story has to be read by people."""

    def __repr__(self) -> str:
        usual = type(self)()
        told = [
            f"{part.name}={value!r}"
            for part in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, part.name)) != getattr(usual, part.name)
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class Answer(Short):
    """What one call of a step answers, and what happens while it runs, after its effect."""

    reply: str = "done"  # or wait, failed, bug, and of a hook or a validation: failed
    events: tuple[str, ...] = ()


@dataclass(repr=False)
class Brood(Short):
    """The children that a step of a project spawns."""

    children: list[Plan] = field(default_factory=list)
    at_once: int = 1
    optional: bool = False
    permanent: bool = False


@dataclass(repr=False)
class Plan(Short):
    """What a command will meet: the entity it holds, the answers of its steps, its children."""

    kind: str = "chore"  # or errand, project
    spot: int = 0
    script: dict[str, list[Answer]] = field(default_factory=dict)
    build: Brood | None = None
    furnish: Brood | None = None


class BrokenHook(Exception):
    """A command's own last word is wrong."""


class Book:
    """The account: what is there, what went wrong, and what happens during a step."""

    def __init__(self) -> None:
        self.happen: Callable[[str, UUID], None] = lambda event, job_id: None
        self.clear()

    def clear(self) -> None:
        self.plans: dict[str, Plan] = {}
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.present: Counter[tuple[UUID, str]] = Counter()
        self.calls: Counter[tuple[UUID, str]] = Counter()
        self.faults: list[str] = []
        worlds.empty()

    def write_down(self, name: str, plan: Plan) -> Planned:
        """Note a plan and those below it under names; the command that carries it out."""
        self.plans[name] = plan
        for step_name, answers in plan.script.items():
            self.answers[name, step_name] = list(answers)
        for step_name in ("build", "furnish"):
            brood = getattr(plan, step_name)
            for n, child in enumerate(brood.children if brood else []):
                self.write_down(f"{name}.{step_name}{n}", child)
        return KINDS[plan.kind](name)

    def next_answer(self, name: str, step_name: str) -> Answer:
        answers = self.answers.get((name, step_name))
        return answers.pop(0) if answers else Answer()

    def quiet(self) -> None:
        """From now on nothing dies, waits or is wrong. What the outside refuses it still refuses: a step, not an undo."""
        refused = [Answer("failed")]
        self.answers = {
            (name, step_name): answers
            for (name, step_name), answers in self.answers.items()
            if answers[:1] == refused and step_name not in {*UNDO_OF.values(), "hook", "validate"}
        }
        worlds.away.clear()
        self.move_on()

    def move_on(self) -> None:
        """What was to come about outside has come about."""
        for thing in list(worlds.things):
            self.turn(
                thing, {"small": "grown", "dead": "dead", "grown": "grown"}.get(worlds.things[thing], MISSING)
            )

    def turn(self, thing: str, status: str) -> None:
        """Something outside becomes something else; MISSING when it goes away."""
        if status == MISSING:
            worlds.things.pop(thing, None)
            self.present[UUID(thing), "grow"] = 0
        else:
            worlds.things[thing] = status


book = Book()


# --- One call ----------------------------------------------------------------------------------------------


def act(command: Planned, name: str) -> Result:
    """Have a step's effect unless it is found, let happen what the script says, and answer."""
    job_id = command.job.pk
    row = Step.objects.get(job=job_id, name=name)
    if row.status not in {StepStatus.PENDING, StepStatus.WAITING}:
        book.faults.append(f"{name} of {command.name} was run although it was {row.status}")
    book.calls[job_id, name] += 1
    answer = book.next_answer(command.name, name)
    if command.retrying and book.present[job_id, name]:
        command.data[f"made {name}"] = True
    elif answer.reply != "failed":  # A step that says Failed is sure that it had no effect.
        book.present[job_id, name] += 1
        if name == "grow":
            worlds.things[str(job_id)] = "small"
        command.data[f"made {name}"] = True
        if book.present[job_id, name] > 1:
            book.faults.append(f"{name} of {command.name} had its effect twice")
    return reply(command, answer)


def undo(command: Planned, name: str) -> Result:
    """Take a step's effect away if the engine says that it may be there."""
    job_id = command.job.pk
    row = Step.objects.get(job=job_id, name=name)
    if row.status not in {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.UNDOING}:
        book.faults.append(f"{name} of {command.name} was undone although it was {row.status}")
    book.calls[job_id, UNDO_OF[name]] += 1
    answer = book.next_answer(command.name, UNDO_OF[name])
    told = f"made {name}" in command.data or command.data.get("unrecorded") == name
    there = told and bool(book.present[job_id, name])
    if there and answer.reply in {"done", "bug"}:
        if name == "grow":
            worlds.things[str(job_id)] = "going"
        else:
            book.present[job_id, name] = 0
    result = reply(command, answer)
    if name == "grow" and there and isinstance(result, Done) and book.present[job_id, name]:
        return Watch(
            "thing", "garden", str(job_id), until=frozenset({MISSING}), unless=frozenset({"stubborn"})
        )
    return result


def reply(command: Planned, answer: Answer) -> Result:
    for event in answer.events:
        book.happen(event, command.job.pk)
    if answer.reply == "bug":
        raise KeyError("a bug of ours")
    return {
        "done": Done(),
        "wait": Wait(WAIT_SECONDS, "Waiting."),
        "failed": Failed("refused", "The outside says no."),
    }[answer.reply]


# --- The commands ------------------------------------------------------------------------------------------


@dataclass
class Planned(Command):
    """A command whose plan is in the book, under its name."""

    name: str

    deadline: ClassVar[timedelta] = LONG
    title: ClassVar[str] = "Do"

    @property
    def plan(self) -> Plan:
        return book.plans[self.name]

    def locks(self) -> list[str]:
        return [f"spot:{self.plan.spot}"]

    def entity(self) -> Entity:
        return Entity("plan", self.name, self.name)

    def validate(self) -> list[Refusal]:
        answer = book.next_answer(self.name, "validate")
        return [Refusal("not_now", "Not now.")] if answer.reply == "failed" else []

    def on_success(self) -> None:
        self.tell("succeeded")

    def on_failure(self, failure: Failure) -> None:
        self.tell(failure.status)

    def tell(self, word: str) -> None:
        """Write the word that the command was told, in the transaction that ends its job."""
        answer = book.next_answer(self.name, "hook")
        for event in answer.events:
            book.happen(event, self.job.pk)
        JobLogLine.objects.create(job=self.job, message=f"told: {word}")
        if answer.reply == "failed":
            raise BrokenHook


@register
@dataclass
class Chore(Planned):
    """Three effects: one that can be undone, one that is watched and whose undo is watched, one that stays."""

    kind: ClassVar[str] = "ledger.chore"

    @step(deadline=LONG)
    def buy(self) -> Result:
        return act(self, "buy")

    @buy.undo
    def sell(self) -> Result:
        return undo(self, "buy")

    @step(deadline=LONG)
    def grow(self) -> Result:
        result = act(self, "grow")
        if not isinstance(result, Done):
            return result
        return Watch(
            "thing",
            "garden",
            str(self.job.pk),
            until=frozenset({"grown"}),
            unless=frozenset({"dead", MISSING}),
        )

    @grow.undo
    def uproot(self) -> Result:
        return undo(self, "grow")

    @step(deadline=LONG)
    def polish(self) -> Result:
        return act(self, "polish")


@register
@dataclass
class Errand(Planned):
    """Nothing of it can be undone."""

    kind: ClassVar[str] = "ledger.errand"

    @step(deadline=LONG)
    def run(self) -> Result:
        return act(self, "run")


@register
@dataclass
class Project(Planned):
    """Two steps that spawn, the second with an undo of its own, between two others."""

    kind: ClassVar[str] = "ledger.project"

    @step(deadline=LONG)
    def survey(self) -> Result:
        return act(self, "survey")

    @survey.undo
    def fill_in(self) -> Result:
        return undo(self, "survey")

    @step(deadline=LONG / 2)
    def build(self) -> Result:
        return self.spawn("build")

    @step
    def furnish(self) -> Result:
        return self.spawn("furnish")

    @furnish.undo
    def clear(self) -> Result:
        return undo(self, "furnish")

    @step(deadline=LONG)
    def party(self) -> Result:
        return act(self, "party")

    def spawn(self, name: str) -> Result:
        result = act(self, name)
        brood: Brood | None = getattr(self.plan, name)
        if not isinstance(result, Done) or brood is None:
            return result
        return Spawn(
            [KINDS[plan.kind](f"{self.name}.{name}{n}") for n, plan in enumerate(brood.children)],
            at_once=brood.at_once,
            optional=brood.optional,
            permanent=brood.permanent,
        )


KINDS: dict[str, type[Planned]] = {"chore": Chore, "errand": Errand, "project": Project}
