"""The invariants after a fault: those of the storm, and that what users created, claimed and removed is there once.

Everything is read anew: the database from the server that accepts writes, the cloud through its control API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.faults.framework.report import Invariant
from tests.faults.storm.effects import ACTION_OF
from tests.faults.storm.invariants import Evidence, check

from .load import HostLoad, get_object_id

# The operation log also has the entries of creations and removals, which the storm does not have.
CLICKED = {kind.removeprefix("vms.") for kind in ACTION_OF}


@dataclass
class HostEvidence(Evidence):
    """Database and cloud after a fault, each read once."""

    load: HostLoad

    @cached_property
    def log_entries(self) -> list[Any]:
        """Return the operation log of the clicks."""
        from vms.models import VMOperationLog

        return list(VMOperationLog.objects.filter(operation__in=CLICKED))

    @cached_property
    def objects(self) -> Mapping[str, Any]:
        """Return everything that is in the cloud."""
        return dict(self.scene.cloud.call("GET", "objects"))


def check_after_fault(evidence: HostEvidence) -> list[Invariant]:
    """Return every invariant, with its violations."""
    return [*check(evidence), *check_creations(evidence), *check_volumes(evidence)]


def check_creations(evidence: HostEvidence) -> Iterable[Invariant]:
    """Check that each creation and claim was carried out once, and that every server and volume belongs to a row."""
    from tests.faults.pool.invariants import find_servers_without_vm
    from vms.models import VirtualMachine
    from volumepool.models import Volume

    created = evidence.load.creations
    rows = {
        "vm": {str(pk) for pk in VirtualMachine.objects.values_list("pk", flat=True)},
        "volume": {str(pk) for pk in Volume.objects.values_list("pk", flat=True)},
    }
    jobs = {str(job.pk): job for job in evidence.jobs}
    wrong = []
    for creation in created:
        if creation.status not in {200, 202}:
            continue
        object_id = get_object_id(creation)
        job = jobs.get(str((creation.answer.get("job") or {}).get("id", "")))
        if creation.status == 202 and job is None:
            wrong.append(f"{creation.kind} {creation.name} was accepted, and its job is not there")
        succeeded = job is None or job.status == "succeeded"
        if succeeded and object_id not in evidence.load.removed and object_id not in rows[creation.kind]:
            wrong.append(f"{creation.kind} {creation.name} ({object_id}) was accepted, and is not there")
    yield Invariant("every accepted creation and claim is there", wrong, len(created))

    names = Counter(one["name"] for kind in ("servers", "volumes") for one in evidence.objects[kind])
    yield Invariant(
        "no creation and no claim was carried out twice",
        [
            f"{name} is in the cloud {names[name]} times"
            for name in {one.name for one in created}
            if names[name] > 1
        ],
        len(created),
    )
    yield Invariant(
        "every server of ours belongs to a VM",
        find_servers_without_vm(evidence.scene.cloud),
        len(evidence.objects["servers"]),
    )


def check_volumes(evidence: HostEvidence) -> Iterable[Invariant]:
    """Check the volumes and the pool."""
    from tests.faults.pool import invariants as pool

    state = pool.State.read(evidence.scene.cloud)
    checks = {
        "every volume of ours in Cinder belongs to one row": pool.find_unexplained_volumes(state),
        "every row has its volume in Cinder": pool.find_rows_without_volume(state),
        "no volume is in two rows": pool.find_doubled_volumes(state),
        "every spare can be claimed, and is what its row says": pool.find_unusable_spares(state),
        "every pool has as many spares as desired": pool.find_incomplete_pools(),
    }
    for statement, violations in checks.items():
        yield Invariant(statement, list(violations), len(state.volumes))
