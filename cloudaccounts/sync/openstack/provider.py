"""The OpenStack provider, and the base class of its syncers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import Cloud, CloudAuthenticationError, CloudError, InvalidCloudRequestError, RecordPage
from security.encryption import UnreadableSecretError

from ...connect import open_cloud
from ...models import CloudAccount
from ...registry import (
    CloudAction,
    CredentialField,
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
class OpenStackProvider(Provider):
    """OpenStack: an account is a project, and a client is a `Cloud` of one region."""

    code: ClassVar[str] = "openstack"
    label: ClassVar[str | Promise] = "OpenStack"
    # Each of them is a column of the account, and a field of its own in requests.
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField("auth_url", gettext_lazy("Auth URL"), max_length=500),
        CredentialField(
            "credential_kind",
            gettext_lazy("Credential type"),
            gettext_lazy("application_credential or password"),
            required=False,
        ),
        CredentialField("access_id", gettext_lazy("Application credential ID or username")),
        CredentialField("secret", gettext_lazy("Secret or password"), is_secret=True, max_length=10_000),
        CredentialField(
            "project", gettext_lazy("Project"), gettext_lazy("Only for user and password."), required=False
        ),
        CredentialField("user_domain", gettext_lazy("User domain"), required=False),
        CredentialField("project_domain", gettext_lazy("Project domain"), required=False),
        CredentialField("ca_bundle", gettext_lazy("CA certificates"), required=False, max_length=200_000),
        CredentialField(
            "interface",
            gettext_lazy("Endpoint interface"),
            gettext_lazy("public, internal or admin"),
            required=False,
        ),
    )
    errors: ClassVar[tuple[type[Exception], ...]] = (CloudError, UnreadableSecretError)
    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = (CloudAuthenticationError,)

    def list_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the account names, or all of the catalog."""
        return list(account.regions) or open_cloud(account, "").list_regions()

    def open_client(self, account: CloudAccount, region: str) -> Cloud:
        """Open the cloud in a region."""
        return open_cloud(account, region)

    def read_clock_offset(self, client: Cloud) -> float | None:
        """Return the offset that the dates of the cloud's answers show."""
        return client.clock_offset()

    def list_actions(self, client: Cloud, type_code: str, cloud_id: str) -> list[CloudAction] | None:
        """List the actions of a server as Nova records them, also of a deleted one; the user is an id of Keystone's."""
        if type_code != "server":
            return None
        return [
            CloudAction(action.action, action.user_id, action.started_at)
            for action in client.compute.list_server_actions(cloud_id)
            if action.started_at is not None
        ]

    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Log in and call Nova in every region to sync; return `project_id`, and `regions` with their services."""
        cloud = open_cloud(account, "")
        services = cloud.list_services()
        if not account.regions and not cloud.list_regions():
            interfaces = ", ".join(cloud.list_interfaces())
            raise InvalidCloudRequestError(
                _(
                    "The cloud's catalog has no compute service for the interface '%(interface)s'; it has some for: %(known)s."
                )
                % {"interface": account.interface, "known": interfaces or "-"}
            )
        unknown = [name for name in account.regions if name not in services]
        if unknown:
            raise InvalidCloudRequestError(
                _("The cloud has no region '%(unknown)s'; it has: %(known)s.")
                % {"unknown": unknown[0], "known": ", ".join(sorted(filter(None, services))) or "-"}
            )
        for region in account.regions or cloud.list_regions():
            if "compute" in services.get(region, ()):
                regional = open_cloud(account, region)
                regional.compute.check()
                record_clock_offset(account, region, regional.clock_offset())
        return {"project_id": cloud.project_id, "regions": services}


class OpenStackSyncer(Syncer):
    """Lists one resource type of OpenStack; its client is a `Cloud`."""

    provider = OpenStackProvider.code

    def list_pages(self, client: Cloud) -> Iterator[list[ListedResource]]:
        """Yield the converted pages, each with its unreadable objects."""
        for page in self.list_records(client):
            yield convert_page(page, self.convert)

    @abstractmethod
    def list_records(self, client: Cloud) -> Iterator[RecordPage[Any]]:
        """Yield the pages of records that `openstack_client` reads. Raises `CloudError`."""

    @abstractmethod
    def convert(self, record: Any) -> ListedResource | None:
        """Convert a record to a resource; None leaves it out on purpose."""


def convert_page(page: RecordPage[Any], convert: Callable[[Any], ListedResource | None]) -> ListedPage:
    """Convert a page of records, with its unreadable objects."""
    return build_page(
        page,
        convert,
        [UnreadableResource(record.id, record.name, record.reason) for record in page.unreadable],
    )
