"""The provider of Huawei Cloud, and the base class of its syncers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from ...models import CloudAccount
from ...registry import CredentialField, register_provider
from ..clock_offsets import record_clock_offset
from ..vendors import VendorProvider, VendorSyncer
from .listings import Listing

# The member that an object gets with the end of its paid time, of which only the billing center tells.
PAID_UNTIL = "portal:paid_until"

if TYPE_CHECKING:
    from .connection import HuaweiRegion


@register_provider
class HuaweiProvider(VendorProvider):
    """Huawei Cloud: an account is an IAM user's access key, or an agency that it takes, and a client is one of its projects."""

    code: ClassVar[str] = "huawei"
    label: ClassVar[str | Promise] = gettext_lazy("Huawei Cloud")
    identity: ClassVar[str] = "access_key_id"
    takes_endpoint: ClassVar[bool] = True
    package: ClassVar[str] = "huaweicloudsdkcore"
    requirements: ClassVar[str] = "requirements-huawei.txt"
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "access_key_id",
            gettext_lazy("Access key ID"),
            max_length=64,
            pattern="[A-Za-z0-9]{10,64}",
        ),
        CredentialField(
            "secret_access_key", gettext_lazy("Secret access key"), is_secret=True, max_length=128
        ),
        CredentialField(
            "security_token",
            gettext_lazy("Security token"),
            gettext_lazy("Only for temporary access keys."),
            is_secret=True,
            required=False,
            max_length=16384,
        ),
        CredentialField(
            "agency_name",
            gettext_lazy("Agency"),
            gettext_lazy("An agency that these credentials take, which needs the permission Agent Operator."),
            required=False,
            max_length=64,
            pattern=r"[\w.-]{1,64}",
        ),
        CredentialField(
            "agency_domain",
            gettext_lazy("Account of the agency"),
            gettext_lazy("The name of the account that the agency belongs to."),
            required=False,
            max_length=64,
            pattern=r"[\w.-]{1,64}",
        ),
        CredentialField(
            "sign_in_region",
            gettext_lazy("Region to sign in to"),
            gettext_lazy(
                "The region whose IAM is asked for the projects, e.g. ap-southeast-1; the global IAM if empty."
            ),
            required=False,
            max_length=50,
            pattern="[a-z]{2}(-[a-z]+)+-[0-9]{1,3}",
        ),
    )

    def build_policy(self) -> str:
        """Return a custom policy of IAM for projects of regions that allows the listings and nothing else."""
        allowed = {"Effect": "Allow", "Action": self.list_permissions()}
        return json.dumps({"Version": "1.1", "Statement": [allowed]}, indent=2)

    def list_all_regions(self, account: CloudAccount) -> list[str]:
        """List the projects that the credentials may use; each counts as a region."""
        return [project.name for project in self.open_client(account, "").list_projects()]

    def open_client(self, account: CloudAccount, region: str) -> HuaweiRegion:
        """Open a region, or a project of it; "" is IAM."""
        self.require_sdk()
        from .connection import open_region  # noqa: PLC0415 - it imports the SDK, which is an extra.

        return open_region(account, region)

    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Ask IAM who the credentials are of, and for the projects; return `project_id` (the account), `account_name`, `regions`.

        IAM tells an account's name to those alone who may read their own user; the id is also that of each project's owner.
        """
        client = self.open_client(account, "")
        account_id, account_name = client.read_account()
        projects = client.list_projects()
        known = [project.name for project in projects]
        if not account_id and projects:
            account_id = projects[0].account_id
        if unknown := [name for name in account.regions if name not in known]:
            from .connection import refuse_region  # noqa: PLC0415 - as above.

            raise refuse_region(unknown[0], projects)
        record_clock_offset(account, "", client.clock_offset())
        return {
            "project_id": account_id[:50],
            "account_name": account_name[:200],
            "regions": {name: ["ecs"] for name in list(account.regions) or known},
        }


class HuaweiSyncer(VendorSyncer):
    """Lists one resource type of Huawei Cloud."""

    provider = HuaweiProvider.code
    id_member = "id"
    listing: ClassVar[Listing]

    def list_objects(self, client: HuaweiRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of objects as Huawei Cloud describes them, with the ends of paid times. Raises `CloudError`."""
        for page in client.list_pages(self.listing):
            prepaid = [one[self.id_member] for one in page if self._has_paid_time(one)]
            ends = client.list_paid_times(prepaid) if prepaid else {}
            yield [
                {**one, PAID_UNTIL: ends.get(one[self.id_member])} if self._has_paid_time(one) else one
                for one in page
            ]

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether an object is paid by month or year. It may lack anything."""
        return False

    def _has_paid_time(self, found: Any) -> bool:
        return (
            isinstance(found, dict) and isinstance(found.get(self.id_member), str) and self.is_prepaid(found)
        )

    def read_name(self, found: Mapping[str, Any]) -> str:
        """Return the name of an object that could not be converted."""
        return str(found.get("name") or "")
