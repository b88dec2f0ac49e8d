"""Making spares and removing them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from random import uniform
from typing import ClassVar

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, NotFound
from tasks.command import Entity, Failure, Result, minutes, register, step
from tasks.dispatch import dispatch_task

from ..models import SpareVolume, StrayVolume, VolumePool
from ..models.pools import LONGEST_PAUSE
from .cinder import CinderCommand, MakingCommand

# When Cinder's quota is full: a minute the first time, twice as long each time after, an hour at the most.
FIRST_PAUSE = timedelta(minutes=1)
# How much of the newest creation the mean of a pool takes on.
WEIGHT = 0.2


def pause(pool_id: int, reason: str) -> None:
    """Have a pool ask for nothing for a while, in the caller's transaction: the longer, the more often in a row.

    Several that fail of one cause count once: a pool that pauses already is left alone.
    """
    pool = VolumePool.objects.select_for_update(no_key=True).get(pk=pool_id)
    pool.last_error = reason[:4000]
    now = timezone.now()
    if not pool.is_paused:
        length = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(pool.pauses, 10))
        # Spread, or all pools of a full account would ask again at one moment.
        pool.paused_until = now + length * uniform(1, 1.3)  # noqa: S311 - nothing secret.
        pool.pauses += 1
    pool.save(update_fields=["last_error", "paused_until", "pauses"])


class SpareCommand(CinderCommand):
    """A command about one spare."""

    spare_id: str
    pool_id: int  # Jobs outlive their spares; this tells whose they were.

    # Users' own volumes never wait for spares to be made.
    queue: ClassVar[str] = "volumepool"

    @cached_property
    def spare(self) -> SpareVolume:
        """The spare as it was when the command first looked."""
        return SpareVolume.objects.select_related("pool__account").get(pk=self.spare_id)

    def cloud(self) -> Cloud:
        """The cloud that it is in."""
        return open_cloud(self.spare.pool.account, self.spare.region)

    def polling_scope(self) -> str:
        """Its account and region."""
        return f"{self.spare.pool.account_id}/{self.spare.region}"

    def mark(self) -> dict[str, str]:
        """What Cinder's volume carries, to be found by: not a tenant's mark, as it is nobody's yet."""
        return {"portal_pool": settings.CLOUD_TAG, "portal_spare": self.spare_id}

    def locks(self) -> list[str]:
        """The spare, and nothing else."""
        return [f"spare:{self.spare_id}"]

    def entity(self) -> Entity:
        """The spare."""
        return Entity("spare_volume", self.spare_id, self.spare.name)


@register
@dataclass
class CreateSpare(MakingCommand, SpareCommand):
    """Make the volume of a spare in Cinder. Whatever fails leaves neither volume nor row: the next backfill begins anew."""

    spare_id: str
    pool_id: int

    kind: ClassVar[str] = "volumepool.create_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Create spare volume")
    deadline: ClassVar[timedelta] = minutes(120)

    def ask(self) -> str:
        """Ask for it; Cinder's id."""
        spare = self.spare
        made = self.block_storage().create_volume(
            name=spare.name,
            size_gb=spare.size_gb,
            snapshot_id=spare.snapshot_id or None,
            image_id=spare.image_id or None,
            volume_type=spare.volume_type or None,
            availability_zone=spare.availability_zone or None,
            metadata=self.mark(),
        )
        return made.id

    def on_success(self) -> None:
        """It can be claimed; the pool learns how long it took, and forgets that there was no room."""
        SpareVolume.objects.filter(pk=self.spare_id).update(
            volume_id=self.data["cinder_id"],
            status=SpareVolume.Status.AVAILABLE,
            available_at=Now(),
            updated_at=Now(),
        )
        took = (timezone.now() - self.spare.created_at).total_seconds()
        pool = VolumePool.objects.select_for_update(no_key=True).get(pk=self.spare.pool_id)
        before = pool.creation_seconds
        pool.creation_seconds = took if before is None else before + WEIGHT * (took - before)
        pool.paused_until, pool.pauses, pool.last_error = None, 0, ""
        pool.save(update_fields=["creation_seconds", "paused_until", "pauses", "last_error"])
        dispatch_task("volumepool.backfill", [pool.pk])

    def on_failure(self, failure: Failure) -> None:
        """The row goes. A full quota, and whatever else goes wrong, keeps the pool from asking again at once."""
        SpareVolume.objects.filter(pk=self.spare_id).delete()
        pause(self.spare.pool_id, failure.message)


@register
@dataclass
class RemoveSpare(SpareCommand):
    """Remove a spare from Cinder, and its row when it is gone there."""

    spare_id: str
    pool_id: int

    kind: ClassVar[str] = "volumepool.remove_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Remove spare volume")

    @step(title=gettext_lazy("Ask the cloud to remove it"), deadline=minutes(60))
    def remove_it(self) -> Result:
        """Remove whatever was made for it, until the cloud has none of it; but not what somebody has taken meanwhile."""
        ids, spare = set(self.made_before()), self.spare
        if spare.volume_id is not None:
            ids.add(spare.volume_id)
            with suppress(NotFound):
                found = self.block_storage().get_volume(spare.volume_id)
                if found.is_used or found.name != spare.name:
                    account = spare.pool.account
                    StrayVolume.note_taken(account, spare.region, found.id, found.name, found.status)
                    ids.discard(found.id)
        return self.delete_all(sorted(ids))

    def on_success(self) -> None:
        """The row goes."""
        SpareVolume.objects.filter(pk=self.spare_id).delete()
