"""How OpenStack accounts are opened and looked at."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from openstack_client import Cloud, CloudError, InvalidRequest
from security.encryption import UnreadableSecret

from ...connect import open_cloud
from ...models import CloudAccount
from ...registry import Provider, Syncer, register_provider


@register_provider
class OpenStack(Provider):
    """An account is a project; a client is the wrapper's `Cloud`, one a region."""

    code: ClassVar[str] = "openstack"
    label: ClassVar[str | Promise] = "OpenStack"
    errors: ClassVar[tuple[type[Exception], ...]] = (CloudError, UnreadableSecret)

    def regions(self, account: CloudAccount) -> list[str]:
        """Those that the account names, or all of its catalog."""
        return list(account.regions) or open_cloud(account, "").regions()

    def open(self, account: CloudAccount, region: str) -> Cloud:
        """The cloud in a region."""
        return open_cloud(account, region)

    def check(self, account: CloudAccount) -> dict[str, Any]:
        """Log in, and touch Nova in every region that is to be synced: `project_id`, `regions` with their services."""
        cloud = open_cloud(account, "")
        services = cloud.services()
        unknown = [name for name in account.regions if name not in services]
        if unknown:
            raise InvalidRequest(
                _("The cloud has no region '%(unknown)s'; it has: %(known)s.")
                % {"unknown": unknown[0], "known": ", ".join(sorted(services))}
            )
        for region in account.regions or cloud.regions():
            if "compute" in services[region]:
                open_cloud(account, region).compute.check()
        return {"project_id": cloud.project_id, "regions": services}


class OpenStackSyncer(Syncer):
    """How one type of OpenStack's is listed; its client is a `Cloud`."""

    provider = OpenStack.code
