"""How OpenStack accounts are opened and looked at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from openstack_client import Cloud, CloudError, InvalidCloudRequestError, RecordPage
from security.encryption import UnreadableSecretError

from ...connect import open_cloud
from ...models import CloudAccount
from ...registry import (
    ListedPage,
    ListedResource,
    Provider,
    Syncer,
    UnreadableResource,
    build_page,
    register_provider,
)
from ..clock_offsets import record_clock_offset


@register_provider
class OpenStack(Provider):
    """An account is a project; a client is the wrapper's `Cloud`, one a region."""

    code: ClassVar[str] = "openstack"
    label: ClassVar[str | Promise] = "OpenStack"
    errors: ClassVar[tuple[type[Exception], ...]] = (CloudError, UnreadableSecretError)

    def regions(self, account: CloudAccount) -> list[str]:
        """Those that the account names, or all of its catalog."""
        return list(account.regions) or open_cloud(account, "").regions()

    def open(self, account: CloudAccount, region: str) -> Cloud:
        """The cloud in a region."""
        return open_cloud(account, region)

    def clock_offset(self, client: Cloud) -> float | None:
        """As the answers of its services say it."""
        return client.clock_offset()

    def check(self, account: CloudAccount) -> dict[str, Any]:
        """Log in, and touch Nova in every region that is to be synced: `project_id`, `regions` with their services."""
        cloud = open_cloud(account, "")
        services = cloud.services()
        if not account.regions and not cloud.regions():
            has = ", ".join(cloud.interfaces())
            raise InvalidCloudRequestError(
                _(
                    "The cloud's catalog has no compute service for the interface '%(interface)s'; it has some for: %(known)s."
                )
                % {"interface": account.interface, "known": has or "-"}
            )
        unknown = [name for name in account.regions if name not in services]
        if unknown:
            raise InvalidCloudRequestError(
                _("The cloud has no region '%(unknown)s'; it has: %(known)s.")
                % {"unknown": unknown[0], "known": ", ".join(sorted(filter(None, services))) or "-"}
            )
        for region in account.regions or cloud.regions():
            if "compute" in services.get(region, ()):
                regional = open_cloud(account, region)
                regional.compute.check()
                record_clock_offset(account, region, regional.clock_offset())
        return {"project_id": cloud.project_id, "regions": services}


class OpenStackSyncer(Syncer):
    """How one type of OpenStack's is listed; its client is a `Cloud`."""

    provider = OpenStack.code

    def pages(self, client: Cloud) -> Iterator[list[ListedResource]]:
        """All that there is, page by page, with what of each page could not be read."""
        for page in self.listing(client):
            yield found_on(page, self.found)

    @abstractmethod
    def listing(self, client: Cloud) -> Iterator[RecordPage[Any]]:
        """The wrapper's records, page by page. Raises `CloudError`."""

    @abstractmethod
    def found(self, record: Any) -> ListedResource | None:
        """Return the row of a record; None for a record that is left out on purpose."""


def found_on(page: RecordPage[Any], found_of: Callable[[Any], ListedResource | None]) -> ListedPage:
    """The findings of a page of the wrapper's records."""
    return build_page(
        page, found_of, [UnreadableResource(one.id, one.name, one.reason) for one in page.unreadable]
    )
