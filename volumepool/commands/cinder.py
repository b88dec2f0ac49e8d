"""Base classes of commands about an object in Cinder: create it once, find it again, and delete it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import CloudCommand, describe_refusal
from openstack_client import Cloud, CloudConflictError, CloudNotFoundError, Snapshot, Volume
from openstack_client.block_storage import BlockStorage
from tasks.command import Done, Result, Wait, Watch, minutes, step
from tasks.polling import MISSING

from ..models import VOLUME_WATCHER
from .attachments import release_attachments

# How long an undo goes on deleting volumes that Cinder does not delete; after that the orphan sweep finds them.
UNDO_TIMEOUT = timedelta(minutes=5)


def delete_volumes(cloud: Cloud, cinder_ids: Iterable[str]) -> Result:
    """Delete volumes in Cinder; `Done` once all are gone, else `Wait`. Safe to repeat, also in an undo.

    An attachment that blocks a deletion is released first when its server does not list the volume.
    """
    block_storage = cloud.block_storage

    def delete(cinder_id: str) -> None:
        try:
            block_storage.delete_volume(cinder_id)
        except CloudConflictError:
            if not release_attachments(cloud, cinder_id):
                raise
            block_storage.delete_volume(cinder_id)

    return _delete_until_gone(
        cinder_ids, block_storage.get_volume, delete, _("Waiting for the volume to be deleted.")
    )


def delete_snapshots(block_storage: BlockStorage, cinder_ids: Iterable[str]) -> Result:
    """Delete snapshots in Cinder; `Done` once all are gone, else `Wait`. Safe to repeat."""
    return _delete_until_gone(
        cinder_ids,
        block_storage.get_snapshot,
        block_storage.delete_snapshot,
        _("Waiting for the snapshot to be deleted."),
    )


def _delete_until_gone(
    cinder_ids: Iterable[str],
    get: Callable[[str], Volume | Snapshot],
    delete: Callable[[str], None],
    message: str,
) -> Result:
    is_waiting = False
    for cinder_id in cinder_ids:
        try:
            if get(cinder_id).status != "deleting":
                delete(cinder_id)
            is_waiting = True
        except CloudNotFoundError:
            continue
        except CloudConflictError as refusal:
            return Wait(2.0, describe_refusal(refusal))
    return Wait(0.5, message) if is_waiting else Done()


class CinderCommand(CloudCommand):
    """A command about the Cinder object of one row. The object carries the row's id in its metadata."""

    # The name of the watcher that polls the object.
    watcher: ClassVar[str] = VOLUME_WATCHER

    @abstractmethod
    def cloud(self) -> Cloud:
        """Open the cloud that holds the object."""

    def block_storage(self) -> BlockStorage:
        """Open the block storage of that cloud."""
        return self.cloud().block_storage

    def fetch_object(self, cinder_id: str) -> Volume | Snapshot:
        """Fetch the object as Cinder has it now. Raises `CloudNotFoundError`."""
        return self.block_storage().get_volume(cinder_id)

    @abstractmethod
    def polling_scope(self) -> str:
        """Return the scope of the listing that shows the object: its account and region."""

    @abstractmethod
    def ownership_metadata(self) -> dict[str, str]:
        """Return the metadata that the object carries in Cinder, by which it is found again."""

    def find_created(self) -> list[str]:
        """Return Cinder's ids of every object that was created for this row. Raises `CloudError`."""
        return [
            found.id for found in self.block_storage().find_volumes_by_metadata(self.ownership_metadata())
        ]

    def watch(self, cinder_id: str, until: str) -> Watch:
        """Watch the object until Cinder reports a status; an error status or its loss fails the step."""
        return Watch(
            self.watcher,
            self.polling_scope(),
            cinder_id,
            until=frozenset({until}),
            unless=frozenset({"error", "error_deleting", "error_restoring", "error_extending", MISSING})
            - {until},
            message=_("Waiting for deletion.")
            if until == MISSING
            else _("Waiting for the cloud to report %s.") % until,
        )

    def delete_objects(self, cinder_ids: Iterable[str]) -> Result:
        """Delete objects of this row until Cinder has none of them.

        An undo gives up after `UNDO_TIMEOUT`: a volume that Cinder does not delete carries our metadata, so the orphan
        sweep finds it.
        """
        result = delete_volumes(self.cloud(), cinder_ids)
        if isinstance(result, Done) or not self.job.ending:
            return result
        since = self.data.setdefault("undoing_since", timezone.now().isoformat())
        if timezone.now() - datetime.fromisoformat(since) < UNDO_TIMEOUT:
            return result
        message = _("The cloud does not delete the volume. The orphan sweep will find it.")
        self.log_message(message, "warning")
        return Done(message)

    def check_creation_progress(self, cinder_id: str) -> Result:
        """Fail when Cinder has lost the creation request, else go on watching. For `stalled` of a step.

        Cinder shows no progress, but updates the object when one of its services takes it up. An object that was never
        updated since its creation was lost between the API and the scheduler.
        """
        try:
            found = self.fetch_object(cinder_id)
        except CloudNotFoundError:
            return Wait(1.0)  # The watch reports that it is gone.
        last = found.updated_at
        is_untouched = (
            last is None or found.created_at is None or last - found.created_at < timedelta(seconds=1)
        )
        if self.is_stalled(found.status, last) and is_untouched and found.status == "creating":
            return self.build_lost_failure(_("no service of the cloud has taken it up."))
        return Wait(0.0, _("The cloud still reports %s.") % found.status)


class CreateObjectCommand(CinderCommand):
    """A command that creates the object of a row: exactly once, and a failure leaves nothing behind in Cinder.

    It has to be the first base of a command: a class inherits the steps of its first base.
    """

    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_creation",
        "see_it_available": "wait_until_available",
        "keep_only_one": "delete_duplicates",
    }

    @abstractmethod
    def create_object(self) -> str:
        """Send the creation request, with the row's metadata; return Cinder's id. Raises `CloudError`."""

    @step(title=gettext_lazy("Send create request to cloud"))
    def request_creation(self) -> Result:
        """Create the object, unless an earlier attempt has. If that is unknown, nothing is created."""
        # An earlier attempt may have sent a request that Cinder has not processed yet.
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := self.find_created()):
            self.data["cinder_id"] = found[0]
            return Done(_("Already created by an earlier attempt."))
        self.data["cinder_id"] = self.create_object()
        self.record_request_id()
        return Done()

    @request_creation.undo
    def delete_created(self) -> Result:
        """Delete every object that was created, until Cinder has none of them."""
        return self.delete_objects(self.find_created())

    @step(deadline=minutes(60), title=gettext_lazy("Wait until available"))
    def wait_until_available(self) -> Result:
        """Wait until the object is `available`: copying an image or a snapshot takes minutes. One that is in use was."""
        if self.retrying and self.fetch_object(self.data["cinder_id"]).status == "in-use":
            return Done()
        return self.watch(self.data["cinder_id"], "available")

    @wait_until_available.stalled
    def check_creation(self) -> Result:
        """Fail when no service of Cinder has taken the request up."""
        return self.check_creation_progress(self.data["cinder_id"])

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the objects of earlier requests whose answers were lost."""
        if not self.data["asked_again"]:
            return Done()
        return self.delete_objects(
            [other for other in self.find_created() if other != self.data["cinder_id"]]
        )
