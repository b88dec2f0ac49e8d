"""Many tenants who claim spares at once, against the bare SQL that no claim can do without.

Claimers are processes, not threads: with threads in one process, Python's lock would let only one of them compute at a
time, and that would be what is measured. A portal has several web processes, too.
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
from .statements import Statements, statements_of

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
# Enough to tell: a whole request takes some 20 times as long as the SQL that it cannot do without.
MOST_REQUESTS = 160
PATIENCE_SECONDS = 120
BARE, CLAIM, REQUEST = "bare SQL", "spares and rows", "claim_volumes"
BARE_SQL = (
    "DELETE FROM volumepool_sparevolume WHERE id IN (SELECT id FROM volumepool_sparevolume"
    " WHERE pool_id = %s AND status = 'available' ORDER BY available_at, id FOR UPDATE SKIP LOCKED LIMIT %s)"
    " RETURNING volume_id"
)


@dataclass(frozen=True, slots=True)
class Claimer:
    """A tenant's administrator, and the information system that he claims for."""

    scope: Scope
    system: InformationSystem


# Takes so many spares for a claimer; Cinder's ids of what he got.
Take = Callable[["Claimer", "VolumePool", int], list[str]]


@dataclass(slots=True)
class Outcome:
    """The result of one run: its duration, the spares that two claimers got, and the spares that nobody got."""

    seconds: float
    doubles: int
    lost: int


def claim(stack: Stack) -> list[Line]:
    """Throughput of the claim and of the whole request, for several sizes; doubles, losses and statements."""
    pool, claimers = _pool(), [_claimer(number) for number in range(max(CLAIMERS))]
    crowd = Crowd(pool, claimers)
    lines: list[Line] = []
    outcomes: list[Outcome] = []
    for count in CLAIMERS:
        for size in SIZES:
            rates: dict[str, list[float]] = {way: [] for way in WAYS}
            for _round in range(ROUNDS):
                # In turns, so that what else the machine does strikes all of them.
                for way in WAYS:
                    claims = min(SPARES // size, MOST_REQUESTS if way == REQUEST else SPARES)
                    outcomes.append(crowd.run(Order(way, size, claims, count)))
                    rates[way].append(claims / outcomes[-1].seconds)
            limit = rates.pop(BARE)
            lines += [
                _figure(f"{count} claimers, {size} each: {way}", limit, found) for way, found in rates.items()
            ]
    crowd.end()
    doubles, lost = sum(one.doubles for one in outcomes), sum(one.lost for one in outcomes)
    lines += [
        Figure("spares given to two", str(doubles), "0", doubles, 0, "at most"),
        Figure("spares given to nobody", str(lost), "0", lost, 0, "at most"),
    ]
    for way, take in WAYS.items():
        counted = _statements(pool, claimers[0], take)
        lines.append(Note(f"statements, one spare: {way}", str(counted), counted.work))
    _forget()
    pool.delete()
    return lines


def _figure(what: str, limit: Sequence[float], rates: Sequence[float]) -> Figure:
    ratio = median(rate / most for rate, most in zip(rates, limit, strict=True))
    measured, best = f"{median(rates):.0f} claims/s", f"{median(limit):.0f}/s bare SQL"
    return Figure(what, measured, best, ratio, 0.4, "at least")


def _bare(_claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(BARE_SQL, [pool.pk, count])
        return [volume_id for (volume_id,) in cursor.fetchall()]


def _spares_and_rows(claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    """The claim alone: spares taken and noted, rows of the tenant's written for them, and the pool's backfill rung for."""
    from django.db import transaction

    from tasks.queries import insert
    from volumepool.services import build_volume, claim_spares

    with transaction.atomic():
        spares = claim_spares(pool, count)
        insert([build_volume(pool, claimer.system, "claimed", spare) for spare in spares])
    return [str(spare.volume_id) for spare in spares]


def _request(claimer: Claimer, pool: VolumePool, count: int) -> list[str]:
    """What a request does: looked at, counted against quotas, claimed, and a job written that sees to it in Cinder."""
    from volumepool.services import ClaimRequest, claim_volumes

    found = claim_volumes(scope=claimer.scope, request=ClaimRequest(claimer.system.pk, pool.type, count))
    return [str(volume.volume_id) for volume in found.volumes]


WAYS: dict[str, Take] = {BARE: _bare, CLAIM: _spares_and_rows, REQUEST: _request}


@dataclass(frozen=True, slots=True)
class Order:
    """What claimers are to do next: take so many spares a claim in a way, until so many claims are made by all of them."""

    way: str
    size: int
    claims: int
    claimers: int


class Crowd:
    """Claimers, each a process with a connection of its own, who live as long as the benchmark."""

    def __init__(self, pool: VolumePool, claimers: Sequence[Claimer]) -> None:
        from django.db import connection

        # A child must not share its parent's connection.
        connection.close()
        fork = multiprocessing.get_context("fork")
        self.pool = pool
        self.left = fork.Value("i", 0)
        # Where so many claimers wait for each other.
        self.lines = {count: fork.Barrier(count) for count in CLAIMERS}
        self.ends = []
        self.processes = []
        for claimer in claimers:
            mine, theirs = fork.Pipe()
            process = fork.Process(target=self._serve, args=[claimer, theirs], daemon=True)
            process.start()
            self.ends.append(mine)
            self.processes.append(process)

    def run(self, order: Order) -> Outcome:
        """From the start to the last claim's commit."""
        # Each claims once before the start: no tenant waits for a web process to open its first connections.
        seeded = _fill(self.pool, SPARES + order.claimers * order.size)
        self.left.value = order.claims
        for end in self.ends[: order.claimers]:
            end.send(order)
        given: list[str] = []
        runs = []
        for end in self.ends[: order.claimers]:
            got, run, trouble = end.recv()
            if trouble:
                raise RuntimeError(f"A claimer failed:\n{trouble}")
            given += got
            runs.append(run)
        # By the claimers' own watches, which are one: who only looks on may be woken when it is half over.
        seconds = max(ended for _began, ended in runs) - min(began for began, _ended in runs)
        return Outcome(seconds, len(given) - len(set(given)), len(seeded - set(given) - _left(self.pool)))

    def end(self) -> None:
        """Send them home."""
        for end in self.ends:
            end.send(None)
        for process in self.processes:
            process.join(PATIENCE_SECONDS)

    def _serve(self, claimer: Claimer, end: Connection) -> None:
        from django.db import connection

        while (order := end.recv()) is not None:
            try:
                end.send((*self._claim(claimer, order), ""))
            except Exception:  # noqa: BLE001 - the parent raises it.
                self.lines[order.claimers].abort()
                end.send(([], (0.0, 0.0), traceback.format_exc()))
        connection.close()

    def _claim(self, claimer: Claimer, order: Order) -> tuple[list[str], tuple[float, float]]:
        """Cinder's ids of what one of them got, and from when to when he was at it."""
        take = WAYS[order.way]
        given = take(claimer, self.pool, order.size)
        self.lines[order.claimers].wait(PATIENCE_SECONDS)
        began = time.monotonic()
        while self._ticket():
            given += take(claimer, self.pool, order.size)
        return given, (began, time.monotonic())

    def _ticket(self) -> bool:
        """Return whether there is one more claim to make."""
        with self.left.get_lock():
            self.left.value -= 1
            return bool(self.left.value >= 0)


def _pool() -> VolumePool:
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


def _claimer(number: int) -> Claimer:
    from tenants.models import InformationSystem, Membership, Tenant, User
    from tenants.scoping import Role, Scope

    # With a quota, so that it is counted as a tenant's is.
    tenant = Tenant.objects.create(slug=f"claim-{number}", name=f"Claim {number}", quota_disk_gb=10**6)
    user = User.objects.create_user(f"claim-{number}")
    Membership.objects.create(user=user, tenant=tenant, role=Role.ADMIN)
    return Claimer(
        Scope(user, tenant, Role.ADMIN), InformationSystem.objects.create(tenant=tenant, name=NAME)
    )


def _fill(pool: VolumePool, count: int) -> set[str]:
    """A full pool in tables that hold nothing of earlier runs; Cinder's ids of its spares."""
    from django.db import connection
    from django.utils import timezone

    from volumepool.models import SpareVolume

    _forget()
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


def _left(pool: VolumePool) -> set[str]:
    from volumepool.models import SpareVolume

    left = SpareVolume.objects.filter(pool=pool).values_list("volume_id", flat=True)
    return {str(volume_id) for volume_id in left}


def _forget() -> None:
    """What a run has left. No worker was there for its jobs, and the next benchmark's is not to do them."""
    import redis
    from django.conf import settings

    from tasks.models import Job
    from volumepool.models import Claim, SpareVolume, Volume

    Job.objects.filter(kind="volumepool.provide_volumes").delete()
    Volume.objects.filter(information_system__name=NAME).delete()
    for kept in (Claim, SpareVolume):
        kept.objects.filter(pool__type=NAME).delete()
    with redis.Redis.from_url(settings.CELERY_BROKER_URL) as broker:
        broker.delete(*{route["queue"] for route in settings.CELERY_TASK_ROUTES.values()})


def _statements(pool: VolumePool, claimer: Claimer, take: Take) -> Statements:
    _fill(pool, 2)
    take(claimer, pool, 1)
    return statements_of(lambda: take(claimer, pool, 1))
