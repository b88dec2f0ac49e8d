"""Plans: the commands of a request in the form that people agree to, and what differs between two of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.command import Command
from tenants.models import Tenant
from tenants.quotas import Needs

if TYPE_CHECKING:
    from tasks.engine import Spec  # Types only: this module is also imported by the models' readers.

MAX_SHOWN_DIFFERENCES = 200
Plan = dict[str, Any]


def describe_command(command: Command) -> dict[str, Any]:
    """Return a command as JSON values, without the ids of rows that are written together with its job."""
    params = command.params()
    new_rows = command.new_row_params()
    new_ids = str([params.get(name) for name in new_rows])
    entity = command.entity()
    return {
        "kind": command.kind,
        "object": {
            "type": entity.type,
            "id": "" if entity.id in new_ids else entity.id,
            "name": entity.name,
        },
        "params": {name: value for name, value in sorted(params.items()) if name not in new_rows},
        "details": command.describe_change(),
    }


def build_plan(specs: Sequence[Spec]) -> Plan:
    """Return the plan of commands that have been validated."""
    # Through JSON, so that it equals what is read back from the database.
    plan: Plan = json.loads(
        json.dumps({"commands": [describe_command(spec.command) for spec in specs]}, default=str)
    )
    return plan


def digest_commands(operation: str, specs: Sequence[Spec]) -> str:
    """Return a digest of commands with all their parameters: the same command on the same object has the same one."""
    commands = [[spec.command.kind, spec.command.params()] for spec in specs]
    return digest_value([operation, commands])


def digest_value(value: Any) -> str:
    """Return a digest of JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def sum_needs(tenant: Tenant, needs: Sequence[tuple[Tenant, Needs]]) -> Needs:
    """Return what a request would take from a tenant's quotas. A decrease reserves nothing."""
    own = [need for owner, need in needs if owner.pk == tenant.pk]
    return Needs(
        **{name: sum(max(0, getattr(need, name)) for need in own) for name in Needs.__dataclass_fields__}
    )


def find_differences(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return the values that differ between two plans, with the path to each."""
    old, new = dict(_list_leaves(before)), dict(_list_leaves(after))
    paths = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    return [
        {"path": path, "before": old.get(path), "after": new.get(path)}
        for path in paths[:MAX_SHOWN_DIFFERENCES]
    ]


def _list_leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _list_leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _list_leaves(item, f"{path}.{number}" if path else str(number))
    else:
        yield path, value
