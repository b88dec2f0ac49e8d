"""Many tenants that claim spares at once, compared with the bare SQL that every claim needs.

Claimers are processes, not threads: threads in one process would wait for Python's global lock, and the benchmark would
measure that. A portal has several web processes, too.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from .figures import Figure, Line, Note
from .stack import Stack
from .statements import Statements, count_statements

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tenants.models import InformationSystem
    from tenants.scoping import Scope
    from volumepool.models import VolumePool

NAME = "bench-claim"
SPARES = 1000
CLAIMERS = (16, 64)
SIZES = (1, 5, 20)
ROUNDS = 3
# Fewer than of the others, because a whole request takes some 20 times as long as its SQL.
MAX_REQUESTS = 160
MAX_WAIT_SECONDS = 120
BARE, CLAIM, REQUEST = "bare SQL", "spares and rows", "claim_volumes"
BARE_SQL = (
    "DELETE FROM volumepool_sparevolume WHERE id IN (SELECT id FROM volumepool_sparevolume"
    " WHERE pool_id = %s AND status = 'available' ORDER BY available_at, id FOR UPDATE SKIP LOCKED LIMIT %s)"
    " RETURNING volume_id"
)


@dataclass(frozen=True, slots=True)
class Claimer:
    """The administrator of a tenant, and the information system that the spares are claimed for."""

    scope: Scope
    system: InformationSystem


# Claims this many spares for a claimer, and returns their ids in Cinder.
ClaimFunction = Callable[["Claimer", "VolumePool", int], list[str]]


@dataclass(slots=True)
class RunResult:
    """The result of one run: its duration, the spares that two claimers got, and the spares that no claimer got."""

    seconds: float
    doubles: int
    lost: int


def measure_claims(stack: Stack) -> list[Line]:
    """Measure the throughput of the claim and of the whole request, for several sizes, and count doubles and losses."""
    pool, claimers = _create_pool(), [_create_claimer(number) for number in range(max(CLAIMERS))]
    claimer_pool = ClaimerPool(pool, claimers)
    lines: list[Line] = []
    results: list[RunResult] = []
    for count in CLAIMERS:
        for size in SIZES:
            rates: dict[str, list[float]] = {way: [] for way in CLAIM_FUNCTIONS}
            for _round in range(ROUNDS):
                # In turns, because the load of the machine changes.
                for way in CLAIM_FUNCTIONS:
                    claims = min(SPARES // size, MAX_REQUESTS if way == REQUEST else SPARES)
                    results.append(claimer_pool.run(ClaimOrder(way, size, claims, count)))
                    rates[way].append(claims / results[-1].seconds)
            limit = rates.pop(BARE)
            lines += [
                _make_figure(f"{count} claimers, {size} each: {way}", limit, found)
                for way, found in rates.items()
            ]
    claimer_pool.end()
    doubles, lost = sum(one.doubles for one in results), sum(one.lost for one in results)
    lines += [
        Figure("spares given to two claimers", str(doubles), "0", doubles, 0, "at most"),
        Figure("spares given to no claimer", str(lost), "0", lost, 0, "at most"),
    ]
    for name, claim in CLAIM_FUNCTIONS.items():
        counted = _count_statements(pool, claimers[0], claim)
        lines.append(Note(f"statements, one spare: {name}", str(counted), counted.work))
    _delete_results()
    pool.delete()
    return lines


def _make_figure(what: str, limit: Sequence[float], rates: Sequence[float]) -> Figure:
    ratio = median(rate / most for rate, most in zip(rates, limit, strict=True))
    measured, best = f"{median(rates):.0f} claims/s", f"{median(limit):.0f}/s bare SQL"
    return Figure(what, measured, best, ratio, 0.4, "at least")


def _claim_by_bare_sql(_claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(BARE_SQL, [pool.pk, count])
        return [volume_id for (volume_id,) in cursor.fetchall()]


def _claim_spares_and_rows(claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    """Claim the spares, write the tenant's rows for them, and request the backfill of the pool."""
    from django.db import transaction

    from tasks.queries import insert
    from volumepool.services import build_volume, claim_spares

    with transaction.atomic():
        spares = claim_spares(pool, count)
        insert([build_volume(pool, claimer.system, "claimed", spare) for spare in spares])
    return [str(spare.volume_id) for spare in spares]


def _claim_by_request(claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    """Claim as a request does: validate, count against quotas, claim, and submit the job that changes Cinder."""
    from volumepool.services import ClaimRequest, claim_volumes

    found = claim_volumes(scope=claimer.scope, request=ClaimRequest(claimer.system.pk, pool.type, count))
    return [str(volume.volume_id) for volume in found.volumes]


CLAIM_FUNCTIONS: dict[str, ClaimFunction] = {
    BARE: _claim_by_bare_sql,
    CLAIM: _claim_spares_and_rows,
    REQUEST: _claim_by_request,
}


@dataclass(frozen=True, slots=True)
class ClaimOrder:
    """An order to the claimers: the name of the function, the spares of a claim, and the claims of all of them together."""

    way: str
    size: int
    claims: int
    claimers: int


class ClaimerPool:
    """The claimers, each a process with a connection of its own that lives as long as the benchmark."""

    def __init__(self, pool: VolumePool, claimers: Sequence[Claimer]) -> None:
        from django.db import connection

        # A child must not share its parent's connection.
        connection.close()
        fork = multiprocessing.get_context("fork")
        self.pool = pool
        self.left = fork.Value("i", 0)
        # The barriers at which this many claimers wait for each other.
        self.barriers = {count: fork.Barrier(count) for count in CLAIMERS}
        self.ends = []
        self.processes = []
        for claimer in claimers:
            parent_end, child_end = fork.Pipe()
            process = fork.Process(target=self._serve, args=[claimer, child_end], daemon=True)
            process.start()
            self.ends.append(parent_end)
            self.processes.append(process)

    def run(self, order: ClaimOrder) -> RunResult:
        """Run an order, and measure from the start to the commit of the last claim."""
        # Each claims once before the start, so that opening a connection is not measured.
        seeded = _fill_pool(self.pool, SPARES + order.claimers * order.size)
        self.left.value = order.claims
        for end in self.ends[: order.claimers]:
            end.send(order)
        given: list[str] = []
        runs = []
        for end in self.ends[: order.claimers]:
            claimed, run, error = end.recv()
            if error:
                raise RuntimeError(f"A claimer failed:\n{error}")
            given += claimed
            runs.append(run)
        # By the clocks of the claimers, which are the same: this process may be scheduled late.
        seconds = max(ended for _began, ended in runs) - min(began for began, _ended in runs)
        return RunResult(
            seconds, len(given) - len(set(given)), len(seeded - set(given) - _list_spares(self.pool))
        )

    def end(self) -> None:
        """End the processes of the claimers."""
        for end in self.ends:
            end.send(None)
        for process in self.processes:
            process.join(MAX_WAIT_SECONDS)

    def _serve(self, claimer: Claimer, end: Connection) -> None:
        from django.db import connection

        while (order := end.recv()) is not None:
            try:
                end.send((*self._claim(claimer, order), ""))
            except Exception:  # noqa: BLE001 - the parent raises it.
                self.barriers[order.claimers].abort()
                end.send(([], (0.0, 0.0), traceback.format_exc()))
        connection.close()

    def _claim(self, claimer: Claimer, order: ClaimOrder) -> tuple[list[str], tuple[float, float]]:
        """Return the ids of the spares that one claimer got, and the begin and end of its claims."""
        claim = CLAIM_FUNCTIONS[order.way]
        given = claim(claimer, self.pool, order.size)
        self.barriers[order.claimers].wait(MAX_WAIT_SECONDS)
        began = time.monotonic()
        while self._take_ticket():
            given += claim(claimer, self.pool, order.size)
        return given, (began, time.monotonic())

    def _take_ticket(self) -> bool:
        """Return whether there is one more claim to make."""
        with self.left.get_lock():
            self.left.value -= 1
            return bool(self.left.value >= 0)


def _create_pool() -> VolumePool:
    from cloudaccounts.models import CloudAccount
    from volumepool.models import VolumePool

    account = CloudAccount(
        name="claim",
        auth_url="http://127.0.0.1:9/v3",
        credential_kind="password",
        access_id="demo",
        project="demo",
    )
    account.set_secret("demo")
    account.save()
    return VolumePool.objects.create(
        account=account, region="RegionOne", type=NAME, size_gb=1, desired=SPARES, creation_seconds=60
    )


def _create_claimer(number: int) -> Claimer:
    from tenants.models import InformationSystem, Membership, Tenant, User
    from tenants.scoping import Role, Scope

    # With a quota, so that usage is counted.
    tenant = Tenant.objects.create(slug=f"claim-{number}", name=f"Claim {number}", quota_disk_gb=10**6)
    user = User.objects.create_user(f"claim-{number}")
    Membership.objects.create(user=user, tenant=tenant, role=Role.ADMIN)
    return Claimer(
        Scope(user, tenant, Role.ADMIN), InformationSystem.objects.create(tenant=tenant, name=NAME)
    )


def _fill_pool(pool: VolumePool, count: int) -> set[str]:
    """Fill the pool, after everything of earlier runs is deleted, and return the ids of its spares in Cinder."""
    from django.db import connection
    from django.utils import timezone

    from volumepool.models import SpareVolume

    _delete_results()
    ids = [str(uuid.uuid4()) for _number in range(count)]
    SpareVolume.objects.bulk_create(
        SpareVolume(
            pool=pool, volume_id=volume_id, name=f"spare-{volume_id[:8]}", region=pool.region, size_gb=1,
            status="available", available_at=timezone.now(),
        )
        for volume_id in ids
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE volumepool_sparevolume, volumepool_volume, tasks_job, tasks_step")
    return set(ids)


def _list_spares(pool: VolumePool) -> set[str]:
    from volumepool.models import SpareVolume

    left = SpareVolume.objects.filter(pool=pool).values_list("volume_id", flat=True)
    return {str(volume_id) for volume_id in left}


def _delete_results() -> None:
    """Delete what a run has left. Its jobs were never run by a worker, and must not be run by that of the next benchmark."""
    import redis
    from django.conf import settings

    from tasks.models import Job
    from volumepool.models import Claim, SpareVolume, Volume

    Job.objects.filter(kind="volumepool.provide_volumes").delete()
    Volume.objects.filter(information_system__name=NAME).delete()
    for model in (Claim, SpareVolume):
        model.objects.filter(pool__type=NAME).delete()
    with redis.Redis.from_url(settings.CELERY_BROKER_URL) as broker:
        broker.delete(*{route["queue"] for route in settings.CELERY_TASK_ROUTES.values()})


def _count_statements(pool: VolumePool, claimer: Claimer, claim: ClaimFunction) -> Statements:
    _fill_pool(pool, 2)
    claim(claimer, pool, 1)
    return count_statements(lambda: claim(claimer, pool, 1))
