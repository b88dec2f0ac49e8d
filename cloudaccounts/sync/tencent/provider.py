"""The provider of Tencent Cloud, and the base class of its syncers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from ...models import CloudAccount
from ...registry import CredentialField, register_provider
from ..clock_offsets import record_clock_offset
from ..vendors import VendorProvider, VendorSyncer, read_region_names

if TYPE_CHECKING:
    from .connection import TencentRegion


@register_provider
class TencentProvider(VendorProvider):
    """Tencent Cloud: an account is a user or a role of CAM, and a client is one of its regions."""

    code: ClassVar[str] = "tencent"
    label: ClassVar[str | Promise] = gettext_lazy("Tencent Cloud")
    identity: ClassVar[str] = "secret_id"
    takes_endpoint: ClassVar[bool] = True
    package: ClassVar[str] = "tencentcloud"
    requirements: ClassVar[str] = "requirements-tencent.txt"
    permissions: ClassVar[tuple[str, ...]] = ("region:DescribeRegions", "sts:GetCallerIdentity")
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField("secret_id", "SecretId", max_length=1024, pattern="[A-Za-z0-9_-]{8,1024}"),
        CredentialField("secret_key", "SecretKey", is_secret=True, max_length=1024),
        CredentialField(
            "token",
            gettext_lazy("Session token"),
            gettext_lazy("Only for temporary credentials of STS."),
            is_secret=True,
            required=False,
            max_length=4096,
        ),
        CredentialField(
            "role_arn",
            gettext_lazy("Role (ARN)"),
            gettext_lazy(
                "A role that these credentials take, e.g. qcs::cam::uin/100000000001:roleName/portal"
            ),
            required=False,
            max_length=512,
            pattern=r"qcs::cam::uin/\d{1,20}:role(Name)?/[\w+=,.@/-]{1,256}",
        ),
        CredentialField(
            "external_id",
            gettext_lazy("External ID"),
            gettext_lazy("What the role's trust policy asks for, if anything."),
            required=False,
            max_length=128,
            pattern=r"[\w+=,.@:/-]{2,128}",
        ),
        CredentialField(
            "sign_in_region",
            gettext_lazy("Region to sign in to"),
            gettext_lazy("ap-guangzhou if empty."),
            required=False,
            max_length=50,
            pattern="[a-z]{2,4}(-[a-z]+)+(-[0-9]{1,2})?",
        ),
    )

    def build_policy(self) -> str:
        """Return a policy of CAM that allows the listings and nothing else."""
        allowed = {"effect": "allow", "action": self.list_permissions(), "resource": ["*"]}
        return json.dumps({"version": "2.0", "statement": [allowed]}, indent=2)

    def open_client(self, account: CloudAccount, region: str) -> TencentRegion:
        """Open a region; "" is the one in which the account signs in."""
        self.require_sdk()
        from .connection import open_region  # noqa: PLC0415 - it imports the SDK, which is an extra.

        return open_region(account, region)

    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Ask who the credentials are of, and for the regions; return `project_id` (the account's UIN), `arn` and `regions`."""
        client = self.open_client(account, "")
        caller = client.call("sts", "GetCallerIdentity")
        known = self.list_all_regions(account)
        self.require_known_regions(account, known)
        record_clock_offset(account, client.region, client.clock_offset())
        return self.describe_account(
            account, known, service="cvm", number=caller.get("AccountId"), arn=caller.get("Arn")
        )

    def list_all_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the vendor has for the account."""
        # The operation of the same name that the service cvm has is not kept up to date any more.
        listed = self.open_client(account, "").list_once(
            "region", "DescribeRegions", "RegionSet", Product="cvm"
        )
        # One that is not for sale any more may still have resources, so its state does not matter.
        names = [one.get("Region") for one in listed if isinstance(one, dict)]
        return read_region_names(names)


class TencentSyncer(VendorSyncer):
    """Lists one resource type of Tencent Cloud: the pages of one operation, object by object."""

    provider = TencentProvider.code
    # The service and the operation as the SDK names them, and the member of the answer with the objects.
    service: ClassVar[str]
    operation: ClassVar[str]
    member: ClassVar[str]
    # The member of an object that has its name.
    name_member: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}
    page_size: ClassVar[int] = 100
    # A few operations want offset and limit as texts, and refuse numbers.
    has_text_offsets: ClassVar[bool] = False

    def list_objects(self, client: TencentRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of objects as Tencent Cloud describes them. Raises `CloudError`."""
        return client.list_pages(
            self.service,
            self.operation,
            self.member,
            self.id_member,
            page_size=self.page_size,
            has_text_offsets=self.has_text_offsets,
            **self.params,
        )

    def read_name(self, found: Mapping[str, Any]) -> str:
        """Return the name of an object that could not be converted."""
        return str(found.get(self.name_member) or "")
