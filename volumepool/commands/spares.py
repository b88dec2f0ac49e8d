"""Commands that create and delete spare volumes."""

from __future__ import annotations

from collections.abc import Mapping
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

from api.messages import limit_message
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, CloudNotFoundError
from tasks.command import Entity, Failure, Result, minutes, register, step
from tasks.dispatch import dispatch_task

from ..models import OrphanVolume, SpareVolume, VolumePool
from ..models.pools import MAX_PAUSE
from .cinder import CinderCommand, CreateObjectCommand

# A pool whose creations fail pauses: a minute the first time, then twice as long each time, `MAX_PAUSE` at most.
FIRST_PAUSE = timedelta(minutes=1)
# The weight of the newest creation in the moving mean of `creation_seconds`.
NEWEST_WEIGHT = 0.2


def pause_pool(pool_id: int, reason: str) -> None:
    """Pause the backfill of a pool, in the caller's transaction; each pause in a row is longer than the last.

    A pool that is paused already keeps its pause, so that several failures of one cause count once.
    """
    pool = VolumePool.objects.select_for_update(no_key=True).get(pk=pool_id)
    pool.last_error = limit_message(reason, 4000)
    now = timezone.now()
    if not pool.is_paused:
        length = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(pool.pauses, 10))
        # A random share is added, so that the pools of a full account do not all retry at the same time.
        pool.paused_until = now + length * uniform(1, 1.3)  # noqa: S311 - no secret depends on it.
        pool.pauses += 1
    pool.save(update_fields=["last_error", "paused_until", "pauses"])


class SpareCommand(CinderCommand):
    """A command about one spare."""

    spare_id: str
    pool_id: int  # A job outlives its spare; this tells which pool it belonged to.

    # A queue of their own, so that users' volumes do not wait for spares.
    queue: ClassVar[str] = "volumepool"

    @cached_property
    def spare(self) -> SpareVolume:
        """The spare's row as it was when the command first read it."""
        return SpareVolume.objects.select_related("pool__account").get(pk=self.spare_id)

    def cloud(self) -> Cloud:
        """Open the cloud that holds the spare."""
        return open_cloud(self.spare.pool.account, self.spare.region)

    def polling_scope(self) -> str:
        """Return the spare's account and region."""
        return f"{self.spare.pool.account_id}/{self.spare.region}"

    def ownership_metadata(self) -> dict[str, str]:
        """Return the metadata by which the spare is found in Cinder: the pools' own, as no tenant owns it yet."""
        return {"portal_pool": settings.CLOUD_TAG, "portal_spare": self.spare_id}

    def locks(self) -> list[str]:
        """Lock the spare alone."""
        return [f"spare:{self.spare_id}"]

    def entity(self) -> Entity:
        """Return the spare as the entity of the job."""
        return Entity("spare_volume", self.spare_id, self.spare.name)


@register
@dataclass
class CreateSpareCommand(CreateObjectCommand, SpareCommand):
    """Create the volume of a spare in Cinder. A failure leaves neither volume nor row; the next backfill tries again."""

    spare_id: str
    pool_id: int

    kind: ClassVar[str] = "volumepool.create_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Create spare volume")
    deadline: ClassVar[timedelta] = minutes(120)

    def find_created(self) -> list[str]:
        """Return the volumes that were created for this row, without one that a tenant has claimed: an undo must not find it."""
        found = self.block_storage().find_volumes_by_metadata(self.ownership_metadata())
        return [volume.id for volume in found if "portal_volume" not in volume.metadata]

    def create_object(self) -> str:
        """Send the creation request; return Cinder's id."""
        spare = self.spare
        created = self.block_storage().create_volume(
            name=spare.name,
            size_gb=spare.size_gb,
            snapshot_id=spare.snapshot_id or None,
            image_id=spare.image_id or None,
            volume_type=spare.volume_type or None,
            availability_zone=spare.availability_zone or None,
            metadata=self.ownership_metadata(),
        )
        return created.id

    def on_success(self) -> None:
        """Make the spare claimable, update the pool's mean creation time and end its pause."""
        SpareVolume.objects.filter(pk=self.spare_id).update(
            volume_id=self.data["cinder_id"],
            status=SpareVolume.Status.AVAILABLE,
            available_at=Now(),
            updated_at=Now(),
        )
        seconds = (timezone.now() - self.spare.created_at).total_seconds()
        pool = VolumePool.objects.select_for_update(no_key=True).get(pk=self.spare.pool_id)
        before = pool.creation_seconds
        pool.creation_seconds = seconds if before is None else before + NEWEST_WEIGHT * (seconds - before)
        pool.paused_until, pool.pauses, pool.last_error = None, 0, ""
        pool.save(update_fields=["creation_seconds", "paused_until", "pauses", "last_error"])
        dispatch_task("volumepool.backfill", [pool.pk])

    def on_failure(self, failure: Failure) -> None:
        """Delete the row and pause the pool, so that the backfill does not retry a full quota at once."""
        SpareVolume.objects.filter(pk=self.spare_id).delete()
        pause_pool(self.spare.pool_id, failure.message)


@register
@dataclass
class RemoveSpareCommand(SpareCommand):
    """Delete a spare in Cinder, then its row."""

    spare_id: str
    pool_id: int

    kind: ClassVar[str] = "volumepool.remove_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Delete spare volume")
    renamed_steps: ClassVar[Mapping[str, str]] = {"remove_it": "delete_volume"}

    @step(title=gettext_lazy("Send delete request to cloud"), deadline=minutes(60))
    def delete_volume(self) -> Result:
        """Delete every volume that was created for the spare, except one that somebody uses without the portal."""
        ids, spare = set(self.find_created()), self.spare
        if spare.volume_id is not None:
            ids.add(spare.volume_id)
            with suppress(CloudNotFoundError):
                found = self.block_storage().get_volume(spare.volume_id)
                if found.is_used or found.name != spare.name:
                    account = spare.pool.account
                    OrphanVolume.record_used_volume(account, spare.region, found.id, found.name, found.status)
                    ids.discard(found.id)
        return self.delete_objects(sorted(ids))

    def on_success(self) -> None:
        """Delete the row."""
        SpareVolume.objects.filter(pk=self.spare_id).delete()
