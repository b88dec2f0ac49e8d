"""Commands: locks, validation, named steps with their undo, and hooks for the end.

A command is code that carries out one change in an external system, such as a cloud.
An instance is a dataclass of JSON values, so that any worker can continue a job from its row:

    @register
    @dataclass
    class StartVmCommand(Command):
        kind = "vms.start"
        vm_id: str

        @step
        def request_start(self) -> Result: ...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar, overload

from django.utils.functional import Promise

from api.messages import join_messages

from .models import Job, JobLogLine


def seconds(number: float) -> timedelta:
    """Return a time span for `@step(deadline=seconds(30))`."""
    return timedelta(seconds=number)


def minutes(number: float) -> timedelta:
    """Return a time span for `@step(deadline=minutes(10))`."""
    return timedelta(minutes=number)


# --- Results of a step -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The step is finished and is never run again.

    `skipped` says that there was nothing to do, in this attempt and in the ones before: such a step has no effect, so it is
    not undone.
    """

    message: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Run this step again after a number of seconds. The worker is free meanwhile."""

    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """Continue when an external object has a status of `until`; fail when it has one of `unless`.

    `watcher` names a registered `polling.Watcher`; `scope` names the objects that one of its listings covers.
    `polling.MISSING` is the status of an object that does not exist.
    """

    watcher: str
    scope: str
    object_id: str
    until: frozenset[str]
    unless: frozenset[str] = frozenset()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The external system refused. `code` is stable and for programs, `message` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Spawn:
    """Run other commands as children of this job, and continue when all of them have ended.

    At most `at_once` of them run at the same time; with 1, they run one after another in their order.
    Children use the locks of the root. Keys that the root does not hold yet are acquired for it until it ends.
    A child is validated when it begins, because the children before it may create what it needs.

    When a child does not succeed, the others are cancelled, the step fails with the child's message, and the effects of
    all children are undone. If they are `optional`, all of them run, and a later step reads `Command.children_of`.
    When the job itself is undone, its succeeded children are undone, the last first, and then this step's own undo runs.
    The effects of `permanent` children are never undone.
    """

    children: Sequence[Command]
    at_once: int = 1
    optional: bool = False
    permanent: bool = False
    message: str = ""

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"at_once is {self.at_once}; at least one child must be able to run.")


Result = Done | Wait | Watch | Failed | Spawn


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason why a command cannot be recorded. `field` names the invalid input, if there is one."""

    code: str
    message: str | Promise
    field: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a job did not succeed, for its `on_failure` hook."""

    status: str  # failed, cancelled or errored
    code: str
    message: str

    @property
    def detail(self) -> str:
        """Return the code and the message, for an operation log."""
        return join_messages([self.code, self.message], ": ")


@dataclass(frozen=True, slots=True)
class Entity:
    """The object of a job: its type, its id and its name."""

    type: str
    id: str
    name: str


# --- Steps -------------------------------------------------------------------------------------------------

StepFunction = Callable[[Any], "Result | None"]
DEFAULT_STEP_DEADLINE = minutes(10)
# How long a watch may stay open before its step's `stalled` is called for the first time.
STALLED_AFTER = seconds(15)


class StepDeclaration:
    """A step as its class declares it: its name, its functions to run and to undo, and its deadline."""

    def __init__(self, run: StepFunction, deadline: timedelta | None, title: str | Promise) -> None:
        self.name = run.__name__
        self.title = title or run.__name__.replace("_", " ")
        self.run = run
        self.deadline = deadline or DEFAULT_STEP_DEADLINE
        # Children have their own deadlines: without a declared deadline, a step waits for them until its job's deadline.
        self.deadline_with_children = deadline
        self.undo_run: StepFunction | None = None
        self.stalled_run: StepFunction | None = None
        self.__doc__ = run.__doc__

    def undo(self, function: StepFunction) -> StepFunction:
        """Declare the undo of this step. It is retried with back-off until it returns `Done`."""
        self.undo_run = function
        return function

    def stalled(self, function: StepFunction) -> StepFunction:
        """Declare the function that checks the external system when this step's `Watch` is not decided soon.

        The external system may have accepted a request and lost it, and would then never reach the awaited status. The
        function is called after `STALLED_AFTER`, and repeatedly while the watch stays open, without a transaction, like a
        step. It may send the request again, if that is safe to repeat. It returns `Wait` to keep the watch (with the time
        until the next call, and a message that is shown), `Done` when the awaited status is reached, or `Failed` when it
        will not be reached. An error that `translate` maps to a `Wait` keeps the watch, too.
        """
        self.stalled_run = function
        return function


@overload
def step(function: StepFunction) -> StepDeclaration: ...


@overload
def step(
    *, deadline: timedelta | None = None, title: str | Promise = ""
) -> Callable[[StepFunction], StepDeclaration]: ...


def step(
    function: StepFunction | None = None,
    *,
    deadline: timedelta | None = None,
    title: str | Promise = "",
) -> StepDeclaration | Callable[[StepFunction], StepDeclaration]:
    """Make a method a step. Steps run in the order in which the class declares them.

    A step runs without a transaction, and may run again after a crash, so it must be safe to repeat:
    `self.retrying` is true when an earlier run may have had its effect.
    `deadline` is the time from its beginning after which a waiting step fails with `timeout`: by default ten minutes, or
    the rest of the job's time for a step that waits for children.
    `title` is shown to people in their language; the default is the method's name.
    """
    if function is not None:
        return StepDeclaration(function, deadline, title)
    return lambda declared: StepDeclaration(declared, deadline, title)


# --- Commands ----------------------------------------------------------------------------------------------


class Command:
    """A change in an external system, in steps. Subclasses are dataclasses of JSON values; see the module's docstring."""

    kind: ClassVar[str]  # A stored string, never renamed.
    title: ClassVar[str | Promise]  # "Start VM": shown before the entity's name.
    deadline: ClassVar[timedelta] = minutes(60)
    # The longest wait of its steps. A longer one in the database was written by a clock that ran ahead.
    longest_wait: ClassVar[timedelta] = minutes(15)
    steps: ClassVar[list[StepDeclaration]] = []
    # Steps that the previous release stored under another name, as {"old": "new"}, so that its jobs can continue.
    renamed_steps: ClassVar[Mapping[str, str]] = {}
    # The command's own Celery queue, for commands that must neither wait for other jobs nor delay them. A worker must read it.
    queue: ClassVar[str] = ""
    # The permission of staff that a cancellation needs; "": the role of an operator is enough.
    cancel_permission: ClassVar[str] = ""

    # Set by the engine on the instance that a worker runs.
    job: Job
    # The job's data: values that earlier steps stored, saved with the record of each step. The engine itself uses two keys:
    # "observed" is the last observation of a `Watch`; "unrecorded" names the step that may have had an effect without a
    # record (after a crash or a lost answer), which its undo has to look for.
    data: dict[str, Any]
    retrying: bool = False
    tries: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherited = {declared.name: declared for declared in cls.steps}
        own = {name: value for name, value in vars(cls).items() if isinstance(value, StepDeclaration)}
        cls.steps = list({**inherited, **own}.values())
        inherited_names = {
            name: new for base in cls.__bases__ for name, new in getattr(base, "renamed_steps", {}).items()
        }
        cls.renamed_steps = {**inherited_names, **vars(cls).get("renamed_steps", {})}

    def locks(self) -> list[str]:
        """Return the keys of the entities that this command locks, such as `vm:<id>`."""
        return []

    def entity(self) -> Entity:
        """Return the object of the job."""
        return Entity("", "", "")

    def new_row_params(self) -> frozenset[str]:
        """Return the parameters that name rows which are written together with the job: each request names other ones."""
        return frozenset()

    def describe_change(self) -> dict[str, Any]:
        """Return what somebody who has to agree wants to know, as JSON values; called once the command is valid.

        Policies compare `cpu_cores`, `memory_gb` and `disk_gb` (of one object), `count` (1 without it) and `data_center_types`
        (a list); other names are only shown.
        """
        return {}

    def validate(self) -> list[Refusal]:
        """Return every reason against the command. Reads only the database.

        Called under the entity's row lock when the job is recorded; for a child, when it begins.
        """
        return []

    def children_of(self, step_name: str) -> list[Job]:
        """Return the jobs that a step of this job has spawned, in their order, for a later step that reads their results."""
        return list(self.job.children.filter(parent_step=step_name).order_by("position"))

    def log_message(self, message: str, level: str = JobLogLine.Level.INFO) -> None:
        """Append a line to the job's log at once, independent of the record of the step."""
        JobLogLine.objects.create(job=self.job, level=level, message=message)

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Return the result for an exception of a step: `Wait` to retry, `Failed` for a refusal, None for a bug."""
        return None

    def explain(self, status: str, fault: str) -> str:
        """Return an explanation of a watch that ended in one of its `unless` statuses. Called without a transaction.

        `status` is the last observed status, `fault` the reason that the external system gave, or "". With "" as the
        explanation, the engine writes the message.
        """
        return ""

    def on_success(self) -> None:
        """Write the result of a success. Runs in the transaction that ends the job and frees its locks."""

    def on_failure(self, failure: Failure) -> None:
        """Write the result of a failure, after every undo. Runs in the transaction that ends the job.

        It is also called (code `undone`) for a child that had succeeded, when it is undone because its parent failed.
        """

    def params(self) -> dict[str, Any]:
        """Return the instance as JSON values."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def can_be_undone(cls) -> bool:
        """Return whether any of its steps declares an undo."""
        return any(declared.undo_run is not None for declared in cls.steps)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return the instance for the values of `params()`. Unknown names, from a later release, are ignored."""
        known = {declared.name for declared in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in params.items() if name in known})


class UnknownKindError(LookupError):
    """A job names a kind that no installed room has registered."""


_registry: dict[str, type[Command]] = {}
SomeCommand = TypeVar("SomeCommand", bound=type[Command])


def register(command: SomeCommand) -> SomeCommand:
    """Register a command class under its kind. Raises ValueError when another class has the kind."""
    if _registry.setdefault(command.kind, command) is not command:
        raise ValueError(
            f"Two commands are registered as '{command.kind}': kinds are stored and must be unique."
        )
    return command


def registered_kinds() -> list[str]:
    """Return the kinds of all commands that have a title."""
    return sorted(kind for kind, command in _registry.items() if hasattr(command, "title"))


def command_title(kind: str) -> str:
    """Return the title of a stored kind in the reader's language; the kind itself when it is not registered."""
    return str(declared_title(kind))


def declared_title(kind: str) -> str | Promise:
    """Return the title as its class declares it, as a parameter of a stored message."""
    return _registry[kind].title if kind in _registry else kind


def step_title(kind: str, name: str) -> str:
    """Return the title of a stored step in the reader's language; its name when no command declares it any more."""
    return str(declared_step_title(kind, name))


def declared_step_title(kind: str, name: str) -> str | Promise:
    """Return the title as the step declares it, as a parameter of a stored message."""
    declared = _registry[kind].steps if kind in _registry else []
    name = step_name(kind, name)
    return next((one.title for one in declared if one.name == name), name.replace("_", " "))


def step_name(kind: str, stored: str) -> str:
    """Return the present name of a stored step."""
    return _registry[kind].renamed_steps.get(stored, stored) if kind in _registry else stored


def command_class(kind: str) -> type[Command]:
    """Return the class of a stored kind. Raises `UnknownKindError`."""
    try:
        return _registry[kind]
    except KeyError:
        raise UnknownKindError(
            f"No command is registered as '{kind}'; is its room in INSTALLED_APPS?"
        ) from None
