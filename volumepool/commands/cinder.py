"""What every command about an object of Cinder's shares: finding what it made, making it once, and seeing it gone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import CloudCommand, refused_by_cloud
from openstack_client import Cloud, Conflict, NotFound, Snapshot, Volume
from openstack_client.block_storage import BlockStorage
from tasks.command import Done, Result, Wait, Watch, minutes, step
from tasks.polling import MISSING

from ..models import VOLUME_WATCHER
from .letting_go import let_go

# How long an undo goes on asking for the end of volumes that Cinder does not remove; the sweep of orphans sees to them then.
UNDO_AT_MOST = timedelta(minutes=5)


def delete_volumes(cloud: Cloud, cinder_ids: Iterable[str]) -> Result:
    """Ask for the end of volumes until the cloud has none of them. For an undo: it says `Done` when they are gone.

    What holds a volume although its server does not have it is removed first.
    """
    block_storage = cloud.block_storage

    def delete(cinder_id: str) -> None:
        try:
            block_storage.delete_volume(cinder_id)
        except Conflict:
            if not let_go(cloud, cinder_id):
                raise
            block_storage.delete_volume(cinder_id)

    return _until_gone(cinder_ids, block_storage.get_volume, delete, _("Waiting for the volume to go."))


def delete_snapshots(block_storage: BlockStorage, cinder_ids: Iterable[str]) -> Result:
    """The same of snapshots."""
    return _until_gone(
        cinder_ids,
        block_storage.get_snapshot,
        block_storage.delete_snapshot,
        _("Waiting for the snapshot to go."),
    )


def _until_gone(
    cinder_ids: Iterable[str],
    get: Callable[[str], Volume | Snapshot],
    delete: Callable[[str], None],
    waiting: str,
) -> Result:
    left = False
    for cinder_id in cinder_ids:
        try:
            if get(cinder_id).status != "deleting":
                delete(cinder_id)
            left = True
        except NotFound:
            continue
        except Conflict as refusal:
            return Wait(2.0, refused_by_cloud(refusal))
    return Wait(0.5, waiting) if left else Done()


class CinderCommand(CloudCommand):
    """A command about the volume of one row, which carries the row's mark in Cinder."""

    # Who looks at what it watches.
    watcher: ClassVar[str] = VOLUME_WATCHER

    @abstractmethod
    def cloud(self) -> Cloud:
        """The cloud that it is in."""

    def block_storage(self) -> BlockStorage:
        """The Cinder that it is in."""
        return self.cloud().block_storage

    def look_at(self, cinder_id: str) -> Volume | Snapshot:
        """Cinder's object as it is now. Raises `NotFound`."""
        return self.block_storage().get_volume(cinder_id)

    @abstractmethod
    def polling_scope(self) -> str:
        """What one listing covers that shows it."""

    @abstractmethod
    def mark(self) -> dict[str, str]:
        """What Cinder's object carries, to be found by."""

    def made_before(self) -> list[str]:
        """Cinder's ids of all that was ever made for this row. Raises `CloudError`."""
        return [found.id for found in self.block_storage().find_volumes_by_metadata(self.mark())]

    def watch(self, cinder_id: str, until: str) -> Watch:
        """Wait until Cinder reports a status."""
        return Watch(
            self.watcher,
            self.polling_scope(),
            cinder_id,
            until=frozenset({until}),
            unless=frozenset({"error", "error_deleting", "error_restoring", "error_extending", MISSING})
            - {until},
            message=_("Waiting for it to go.")
            if until == MISSING
            else _("Waiting for the cloud to report %s.") % until,
        )

    def delete_all(self, cinder_ids: Iterable[str]) -> Result:
        """Ask for the end of what was made until the cloud has none of it.

        On the way back not for ever: a volume that Cinder neither removes nor gives a reason for carries our mark, and the
        sweep of orphans finds it.
        """
        result = delete_volumes(self.cloud(), cinder_ids)
        if isinstance(result, Done) or not self.job.ending:
            return result
        since = self.data.setdefault("undoing_since", timezone.now().isoformat())
        if timezone.now() - datetime.fromisoformat(since) < UNDO_AT_MOST:
            return result
        self.log_message(
            _("The cloud does not remove the volume; it is left to the sweep of orphans."), "warning"
        )
        return Done(_("The cloud does not remove the volume; it is left to the sweep of orphans."))

    def wait_or_lose(self, cinder_id: str) -> Result:
        """For `stalled`: whether Cinder still works on its object, as far as it shows that.

        It shows no progress, but writes the object anew when a service takes it up. One that was never written again since it
        was asked for was lost on the way.
        """
        try:
            found = self.look_at(cinder_id)
        except NotFound:
            return Wait(1.0)  # The watch sees that.
        last = found.updated_at
        untouched = last is None or found.created_at is None or last - found.created_at < timedelta(seconds=1)
        if self.moves_no_more(found.status, last) and untouched and found.status == "creating":
            return self.lost(_("nothing has happened to it since it was asked for."))
        return Wait(0.0, _("The cloud still reports %s.") % found.status)


class MakingCommand(CinderCommand):
    """A command that makes the object of a row: once, and nothing is left of it when it fails.

    Named first among the bases: a class has the steps of its first base.
    """

    @abstractmethod
    def ask(self) -> str:
        """Ask Cinder for it, with the row's mark; its id. Raises `CloudError`."""

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Create it, unless an earlier try has. If that cannot be found out, nothing is created."""
        # Who comes a second time may have asked before, and a lost request may still be on its way.
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := self.made_before()):
            self.data["cinder_id"] = found[0]
            return Done(_("It was there already."))
        self.data["cinder_id"] = self.ask()
        self.note_request()
        return Done()

    @ask_the_cloud.undo
    def remove_it(self) -> Result:
        """Remove whatever was made, until the cloud has none of it."""
        return self.delete_all(self.made_before())

    @step(deadline=minutes(60), title=gettext_lazy("See it available"))
    def see_it_available(self) -> Result:
        """Wait for `available`: copying an image or a snapshot takes minutes."""
        return self.watch(self.data["cinder_id"], "available")

    @see_it_available.stalled
    def look_whether_it_is_made(self) -> Result:
        """See whether any service of Cinder has taken it up."""
        return self.wait_or_lose(self.data["cinder_id"])

    @step(title=gettext_lazy("Make sure that there is one"))
    def keep_only_one(self) -> Result:
        """Remove what a lost request has made besides, when one may have been lost."""
        if not self.data["asked_again"]:
            return Done()
        return self.delete_all([made for made in self.made_before() if made != self.data["cinder_id"]])
