"""Operations: services that submit commands for a user, and whose call can be stored and repeated.

    @operation("vms.remove", RemoveVmCommand)
    def remove_vm(*, scope: Scope, vm_id: UUID, ...) -> ControlResult: ...

The engine shows the commands that it is about to record to a gate, which a room above may register. A gate that raises a
`DeferredError` holds them back: the service's transaction is rolled back, and the call is stored, with the commands as they
were validated. Later the call is repeated as the same user, so that everything is validated anew; before anything is
recorded, the gate compares the commands with the stored ones.

Nothing is held back that the portal submits by itself, without a user, and no children of a job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from api.requirements import collect_requirements
from tenants.quotas import Needs, collect_needs

from .argument_encoding import decode_value, encode_value
from .command import Command

if TYPE_CHECKING:
    from tenants.models import Tenant, User
    from tenants.scoping import Scope

    from .engine.submission import Spec  # Types only: the engine imports this module.
    from .models import Job

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Operation:
    """A registered service: its stored name, the commands that it submits, and what its arguments are made of.

    `omitted` are arguments that only count for the first call, such as `if_match`; a repetition leaves them out.
    """

    name: str
    function: Callable[..., Any]
    kinds: frozenset[str]
    dataclass_types: Mapping[str, type]
    omitted: frozenset[str]

    def encode_arguments(self, arguments: Mapping[str, Any]) -> str:
        """Return the arguments of a call as text. They may contain secrets, so the text is stored encrypted."""
        kept = {name: value for name, value in arguments.items() if name not in self.omitted}
        return json.dumps({name: encode_value(value) for name, value in kept.items()}, sort_keys=True)

    def decode_arguments(self, text: str) -> dict[str, Any]:
        """Return the arguments of `encode_arguments`."""
        stored = json.loads(text)
        return {name: decode_value(value, self.dataclass_types) for name, value in stored.items()}


@dataclass(frozen=True, slots=True)
class OperationCall:
    """A call of an operation that is under way, with the quota that it has asked for so far."""

    operation: Operation
    scope: Scope
    arguments: Mapping[str, Any]
    needs: list[tuple[Tenant, Needs]]


@dataclass(slots=True)
class Repetition:
    """The repetition of a stored call. `check` raises when the plan differs from the stored one; `jobs` carry it out."""

    describe: Callable[[Sequence[Spec]], Any]
    check: Callable[[Any], None]
    jobs: list[Job] = field(default_factory=list)


class Gate(Protocol):
    """A function that is shown commands before they are recorded. It raises to hold them back."""

    def __call__(self, specs: Sequence[Spec], user: User) -> None:
        """Return to let the commands pass."""


_operations: dict[str, Operation] = {}
_gates: list[Gate] = []
_call: ContextVar[OperationCall | None] = ContextVar("operation_call", default=None)
_repetition: ContextVar[Repetition | None] = ContextVar("operation_repetition", default=None)
_is_open: ContextVar[bool] = ContextVar("operation_gates_are_open", default=False)


def operation(
    name: str,
    *commands: type[Command],
    dataclass_types: Sequence[type] = (),
    omitted: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a service under a stored name, which is never changed. The service takes keywords only, `scope` among them.

    A service that calls another one is the operation: the outermost call is stored.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        registered = Operation(
            name,
            function,
            frozenset(command.kind for command in commands),
            {one.__name__: one for one in dataclass_types},
            frozenset(omitted),
        )
        if name in _operations:
            raise ValueError(
                f"Two operations are registered as '{name}': names are stored and must be unique."
            )
        _operations[name] = registered

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _call.get() is not None:
                return function(*args, **kwargs)
            arguments = dict(kwargs)
            scope = cast("Scope", arguments.pop("scope"))
            with collect_needs() as needs:
                token = _call.set(OperationCall(registered, scope, arguments, needs))
                try:
                    return function(*args, **kwargs)
                finally:
                    _call.reset(token)

        return call

    return register


def find_operation(name: str) -> Operation | None:
    """Return the operation of a stored name; None when this release has none."""
    return _operations.get(name)


def list_gated_kinds() -> list[str]:
    """Return the kinds of the commands that operations submit, and which can therefore be held back."""
    return sorted({kind for one in _operations.values() for kind in one.kinds})


def current_call() -> OperationCall | None:
    """Return the call of an operation that is under way here."""
    return _call.get()


def register_gate(gate: Gate) -> None:
    """Register a gate. Called from a room's `AppConfig.ready()`."""
    if gate not in _gates:
        _gates.append(gate)


@contextmanager
def open_gates() -> Iterator[None]:
    """Let every command pass within the block, such as the retry of a job that had passed."""
    token = _is_open.set(True)
    try:
        yield
    finally:
        _is_open.reset(token)


def hold_back(specs: Sequence[Spec], user: User | None) -> None:
    """Show commands that have been validated, and are about to be recorded for a user, to the gates."""
    repetition = _repetition.get()
    if repetition is not None:
        repetition.check(repetition.describe(specs))
    elif user is not None and specs and not _is_open.get():
        for gate in _gates:
            gate(specs, user)


def check_plan(plan: Any) -> bool:
    """Return whether this is the repetition of a stored call, whose plan is then compared with this one.

    For an operation that submits no command. Raises what the check of the repetition raises.
    """
    repetition = _repetition.get()
    if repetition is None:
        return False
    repetition.check(plan)
    return True


def note_jobs(jobs: Sequence[Job]) -> None:
    """Tell a repetition which jobs carry its commands out."""
    if (repetition := _repetition.get()) is not None:
        repetition.jobs.extend(jobs)


def repeat_call(
    stored: Operation,
    scope: Scope,
    arguments: Mapping[str, Any],
    *,
    describe: Callable[[Sequence[Spec]], Any],
    check: Callable[[Any], None],
) -> list[Job]:
    """Repeat a stored call in the caller's transaction, and return its jobs.

    Before anything is recorded, `describe` makes a plan of the commands, and `check` compares it with the stored one. Raises
    what the service and `check` raise.
    """
    repetition = Repetition(describe, check)
    # What the service requires of the requester is not required of the user who approves, also not for a replay of the answer.
    with collect_needs() as needs, collect_requirements():
        call_token = _call.set(OperationCall(stored, scope, arguments, needs))
        token = _repetition.set(repetition)
        try:
            stored.function(scope=scope, **arguments)
        finally:
            _repetition.reset(token)
            _call.reset(call_token)
    return repetition.jobs
