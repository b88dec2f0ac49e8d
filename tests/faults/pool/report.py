"""What a campaign's table is made of."""

from __future__ import annotations

from collections import Counter

from django.db.models import Sum

from tasks.models import Job
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine
from volumepool.models import Claim

from . import invariants
from .meddling import Meddler
from .people import People


def verdicts(cloud: SimulatedCloud, people: People, meddler: Meddler) -> dict[str, list[str]]:
    """Every invariant of a campaign, with what is wrong with it."""
    return {
        **invariants.check(cloud, meddler.done),
        "a claim gives what its answer said, or says why not": people.wrongly_answered(),
        "every server of ours is a VM's": _servers(cloud),
    }


def _servers(cloud: SimulatedCloud) -> list[str]:
    bound = set(VirtualMachine.objects.values_list("openstack_id", flat=True))
    there = {one["id"]: one for one in cloud.call("GET", "objects")["servers"]}
    wrong = [
        f"{key} '{one['name']}' belongs to no VM"
        for key, one in there.items()
        if key not in bound and one["tags"]
    ]
    return wrong + [f"a VM is bound to {key}" for key in bound if key not in there]


def ended_jobs() -> Counter[str]:
    """How jobs ended."""
    return Counter(f"{kind} {status}" for kind, status in Job.objects.values_list("kind", "status"))


def reasons() -> Counter[str]:
    """Why claims came to less than was wanted."""
    claims = Job.objects.filter(kind="volumepool.provide_volumes").exclude(status="succeeded")
    return Counter(claims.values_list("outcome_code", flat=True))


def sources() -> Counter[str]:
    """How many volumes came out of pools, and how many had to be made."""
    told = Claim.objects.aggregate(taken=Sum("taken"), made=Sum("made"))
    return Counter({"spares": told["taken"] or 0, "volumes to be made": told["made"] or 0})
