"""What every command about an object of Cinder's shares: finding what it made, making it once, and seeing it gone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import CloudCommand, refused_by_cloud
from openstack_client import Conflict, NotFound, Snapshot, Volume
from openstack_client.block_storage import BlockStorage
from tasks.command import Done, Result, Wait, Watch, minutes, step
from tasks.polling import MISSING

from ..models import VOLUME_WATCHER


def delete_volumes(block_storage: BlockStorage, cinder_ids: Iterable[str]) -> Result:
    """Ask for the end of volumes until the cloud has none of them. For an undo: it says `Done` when they are gone."""
    return _until_gone(
        cinder_ids,
        block_storage.get_volume,
        block_storage.delete_volume,
        _("Waiting for the volume to go."),
    )


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
    def block_storage(self) -> BlockStorage:
        """The Cinder that it is in."""

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
        """Ask for the end of what was made until the cloud has none of it."""
        return delete_volumes(self.block_storage(), cinder_ids)


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
        return Done()

    @ask_the_cloud.undo
    def remove_it(self) -> Result:
        """Remove whatever was made, until the cloud has none of it."""
        return self.delete_all(self.made_before())

    @step(deadline=minutes(60), title=gettext_lazy("See it available"))
    def see_it_available(self) -> Result:
        """Wait for `available`: copying an image or a snapshot takes minutes."""
        return self.watch(self.data["cinder_id"], "available")

    @step(title=gettext_lazy("Make sure that there is one"))
    def keep_only_one(self) -> Result:
        """Remove what a lost request has made besides, when one may have been lost."""
        if not self.data["asked_again"]:
            return Done()
        return self.delete_all([made for made in self.made_before() if made != self.data["cinder_id"]])
