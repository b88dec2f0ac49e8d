"""A ledger of the effects of steps, and commands that check for their own effect before they repeat it.

In `external_system`, a step only records that it ran; here it creates an effect, and its undo removes it.
Steps and undos use only what the engine tells them, as the commands of the portal do: a step checks for its effect when it
is `retrying`, and an undo does when the job's data has the effect or names the step as `unrecorded`.
If the engine tells them something wrong, an effect exists twice or remains, and the ledger shows it.
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

from . import external_system

# No deadline passes while a driver settles, so a job that ends was woken and did not time out.
LONG = timedelta(hours=100)
WAIT_SECONDS = 30.0

UNDO_OF = {"buy": "sell", "grow": "uproot", "survey": "fill_in", "furnish": "clear"}


class CompactRepr:
    """A dataclass whose `repr` shows only the fields that differ from their defaults."""

    def __repr__(self) -> str:
        usual = type(self)()
        told = [
            f"{part.name}={value!r}"
            for part in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, part.name)) != getattr(usual, part.name)
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class Answer(CompactRepr):
    """The scripted reply of one call of a step, and the events that happen during the call, after its effect."""

    reply: str = "done"  # or wait, failed, bug, and of a hook or a validation: failed
    events: tuple[str, ...] = ()


@dataclass(repr=False)
class ChildrenPlan(CompactRepr):
    """The children that a step of a project spawns."""

    children: list[Plan] = field(default_factory=list)
    at_once: int = 1
    optional: bool = False
    permanent: bool = False


@dataclass(repr=False)
class Plan(CompactRepr):
    """The plan of a command: the entity that it locks, the replies of its steps, and its children."""

    kind: str = "chore"  # or batch, project
    spot: int = 0
    script: dict[str, list[Answer]] = field(default_factory=dict)
    build: ChildrenPlan | None = None
    furnish: ChildrenPlan | None = None


class BrokenHook(Exception):
    """The exception of a command whose hook is broken."""


class EffectLedger:
    """The ledger: the present effects, the detected faults, and the plans of the commands."""

    def __init__(self) -> None:
        self.happen: Callable[[str, UUID], None] = lambda event, job_id: None
        self.clear()

    def clear(self) -> None:
        self.plans: dict[str, Plan] = {}
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.present: Counter[tuple[UUID, str]] = Counter()
        self.calls: Counter[tuple[UUID, str]] = Counter()
        self.faults: list[str] = []
        external_system.reset()

    def add_plan(self, name: str, plan: Plan) -> Planned:
        """Store a plan and the plans of its children under their names; return the command that carries it out."""
        self.plans[name] = plan
        for step_name, answers in plan.script.items():
            self.answers[name, step_name] = list(answers)
        for step_name in ("build", "furnish"):
            brood = getattr(plan, step_name)
            for n, child in enumerate(brood.children if brood else []):
                self.add_plan(f"{name}.{step_name}{n}", child)
        return KINDS[plan.kind](name)

    def next_answer(self, name: str, step_name: str) -> Answer:
        answers = self.answers.get((name, step_name))
        return answers.pop(0) if answers else Answer()

    def quiet(self) -> None:
        """Drop all scripted replies and events, except the next reply of a step that is a refusal."""
        refused = [Answer("failed")]
        self.answers = {
            (name, step_name): answers
            for (name, step_name), answers in self.answers.items()
            if answers[:1] == refused and step_name not in {*UNDO_OF.values(), "hook", "validate"}
        }
        external_system.outages.clear()
        self.move_on()

    def move_on(self) -> None:
        """Let every watched object reach its next status."""
        for thing in list(external_system.objects):
            self.turn(
                thing,
                {"small": "grown", "dead": "dead", "grown": "grown"}.get(
                    external_system.objects[thing], MISSING
                ),
            )

    def turn(self, thing: str, status: str) -> None:
        """Change the status of an object; with MISSING, remove it."""
        if status == MISSING:
            external_system.objects.pop(thing, None)
            self.present[UUID(thing), "grow"] = 0
        else:
            external_system.objects[thing] = status


effect_ledger = EffectLedger()


# --- One call ----------------------------------------------------------------------------------------------


def act(command: Planned, name: str) -> Result:
    """Create a step's effect unless it exists, run the scripted events, and return the scripted reply."""
    job_id = command.job.pk
    row = Step.objects.get(job=job_id, name=name)
    if row.status not in {StepStatus.PENDING, StepStatus.WAITING}:
        effect_ledger.faults.append(f"{name} of {command.name} was run although it was {row.status}")
    effect_ledger.calls[job_id, name] += 1
    answer = effect_ledger.next_answer(command.name, name)
    if command.retrying and effect_ledger.present[job_id, name]:
        command.data[f"made {name}"] = True
    elif answer.reply != "failed":  # A step that says Failed is sure that it had no effect.
        effect_ledger.present[job_id, name] += 1
        if name == "grow":
            external_system.objects[str(job_id)] = "small"
        command.data[f"made {name}"] = True
        if effect_ledger.present[job_id, name] > 1:
            effect_ledger.faults.append(f"{name} of {command.name} had its effect twice")
    return reply(command, answer)


def undo(command: Planned, name: str) -> Result:
    """Remove a step's effect if the engine says that it may exist."""
    job_id = command.job.pk
    row = Step.objects.get(job=job_id, name=name)
    if row.status not in {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.UNDOING}:
        effect_ledger.faults.append(f"{name} of {command.name} was undone although it was {row.status}")
    effect_ledger.calls[job_id, UNDO_OF[name]] += 1
    answer = effect_ledger.next_answer(command.name, UNDO_OF[name])
    told = f"made {name}" in command.data or command.data.get("unrecorded") == name
    there = told and bool(effect_ledger.present[job_id, name])
    if there and answer.reply in {"done", "bug"}:
        if name == "grow":
            external_system.objects[str(job_id)] = "going"
        else:
            effect_ledger.present[job_id, name] = 0
    result = reply(command, answer)
    if name == "grow" and there and isinstance(result, Done) and effect_ledger.present[job_id, name]:
        return Watch(
            "thing", "garden", str(job_id), until=frozenset({MISSING}), unless=frozenset({"stubborn"})
        )
    return result


def reply(command: Planned, answer: Answer) -> Result:
    for event in answer.events:
        effect_ledger.happen(event, command.job.pk)
    if answer.reply == "bug":
        raise KeyError("a bug of ours")
    return {
        "done": Done(),
        "wait": Wait(WAIT_SECONDS, "Waiting."),
        "failed": Failed("refused", "The external system refuses."),
    }[answer.reply]


# --- The commands ------------------------------------------------------------------------------------------


@dataclass
class Planned(Command):
    """A command whose plan the ledger stores under its name."""

    name: str

    deadline: ClassVar[timedelta] = LONG
    title: ClassVar[str] = "Do"

    @property
    def plan(self) -> Plan:
        return effect_ledger.plans[self.name]

    def locks(self) -> list[str]:
        return [f"spot:{self.plan.spot}"]

    def entity(self) -> Entity:
        return Entity("plan", self.name, self.name)

    def validate(self) -> list[Refusal]:
        answer = effect_ledger.next_answer(self.name, "validate")
        return [Refusal("not_now", "Not now.")] if answer.reply == "failed" else []

    def on_success(self) -> None:
        self.tell("succeeded")

    def on_failure(self, failure: Failure) -> None:
        self.tell(failure.status)

    def tell(self, word: str) -> None:
        """Log the call of a hook, in the transaction that ends the job."""
        answer = effect_ledger.next_answer(self.name, "hook")
        for event in answer.events:
            effect_ledger.happen(event, self.job.pk)
        JobLogLine.objects.create(job=self.job, message=f"told: {word}")
        if answer.reply == "failed":
            raise BrokenHook


@register
@dataclass
class Chore(Planned):
    """A command with three effects: one with an undo, one that is watched and whose undo is watched, and one without an undo."""

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
class Batch(Planned):
    """A command without an undo."""

    kind: ClassVar[str] = "ledger.batch"

    @step(deadline=LONG)
    def run(self) -> Result:
        return act(self, "run")


@register
@dataclass
class Project(Planned):
    """A command with two steps that spawn children, the second with an undo, between two other steps."""

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
        brood: ChildrenPlan | None = getattr(self.plan, name)
        if not isinstance(result, Done) or brood is None:
            return result
        return Spawn(
            [KINDS[plan.kind](f"{self.name}.{name}{n}") for n, plan in enumerate(brood.children)],
            at_once=brood.at_once,
            optional=brood.optional,
            permanent=brood.permanent,
        )


KINDS: dict[str, type[Planned]] = {"chore": Chore, "batch": Batch, "project": Project}
