"""The provider of Alibaba Cloud, and the base class of its syncers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from ...models import CloudAccount
from ...registry import CredentialField, register_provider
from ..clock_offsets import record_clock_offset
from ..vendors import VendorProvider, VendorSyncer, read_region_names
from .errors import format_action
from .listings import list_by_number, list_by_token, read_page

if TYPE_CHECKING:
    from .connection import AlibabaRegion

# The year of the dates that the vendor sends for what is paid as it is used.
_NEVER = "2099-"


@register_provider
class AlibabaProvider(VendorProvider):
    """Alibaba Cloud: an account is a RAM user or a role, and a client is one of its regions."""

    code: ClassVar[str] = "alibaba"
    label: ClassVar[str | Promise] = gettext_lazy("Alibaba Cloud")
    identity: ClassVar[str] = "access_key_id"
    takes_endpoint: ClassVar[bool] = True
    package: ClassVar[str] = "aliyunsdkcore"
    requirements: ClassVar[str] = "requirements-alibaba.txt"
    permissions: ClassVar[tuple[str, ...]] = ("ecs:DescribeRegions", "sts:GetCallerIdentity")
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "access_key_id",
            gettext_lazy("Access key ID"),
            max_length=128,
            pattern="[A-Za-z0-9._-]{4,128}",
        ),
        CredentialField(
            "access_key_secret", gettext_lazy("Access key secret"), is_secret=True, max_length=128
        ),
        CredentialField(
            "security_token",
            gettext_lazy("Security token"),
            gettext_lazy("Only for temporary credentials of STS."),
            is_secret=True,
            required=False,
            max_length=8192,
        ),
        CredentialField(
            "role_arn",
            gettext_lazy("Role (ARN)"),
            gettext_lazy("A role that these credentials take, e.g. acs:ram::1234567890123456:role/portal"),
            required=False,
            max_length=200,
            pattern=r"acs:ram::\d{1,20}:role/[\w.-]{1,64}",
        ),
        CredentialField(
            "external_id",
            gettext_lazy("External ID"),
            gettext_lazy("What the role's trust policy asks for, if anything."),
            required=False,
            max_length=1224,
            pattern=r"[\w+=,.@:/-]{2,1224}",
        ),
        CredentialField(
            "sign_in_region",
            gettext_lazy("Region to sign in to"),
            gettext_lazy("cn-hangzhou if empty."),
            required=False,
            max_length=50,
            pattern="[a-z]{2,4}(-[a-z0-9]+)+",
        ),
    )

    def build_policy(self) -> str:
        """Return a policy of RAM that allows the listings and nothing else."""
        allowed = {"Effect": "Allow", "Action": self.list_permissions(), "Resource": "*"}
        return json.dumps({"Version": "1", "Statement": [allowed]}, indent=2)

    def open_client(self, account: CloudAccount, region: str) -> AlibabaRegion:
        """Open a region; "" is the one in which the account signs in."""
        self.require_sdk()
        from .connection import open_region  # noqa: PLC0415 - it imports the SDK, which is an extra.

        return open_region(account, region)

    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Ask who the credentials are of, and for the regions; return `project_id` (the account), `arn` and `regions`."""
        client = self.open_client(account, "")
        caller = client.call("Sts", "GetCallerIdentity")
        listed = self.list_all_regions(account)
        self.require_known_regions(account, listed)
        record_clock_offset(account, client.home_region, client.clock_offset())
        return self.describe_account(
            account, listed, service="ecs", number=caller.get("AccountId"), arn=caller.get("Arn")
        )

    def list_all_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the vendor has for the account."""
        answer = self.open_client(account, "").call("Ecs", "DescribeRegions")
        found = read_page(answer, ("Regions", "Region"), "ecs:DescribeRegions")
        names = [one.get("RegionId") for one in found if isinstance(one, dict)]
        return read_region_names(names)


class AlibabaSyncer(VendorSyncer):
    """Lists one resource type of Alibaba Cloud: the pages of one operation, object by object."""

    provider = AlibabaProvider.code
    # The service and the operation; the member of the answer with the listing, and the list in it.
    product: ClassVar[str]
    action: ClassVar[str]
    path: ClassVar[tuple[str, str]]
    params: ClassVar[Mapping[str, Any]] = {}
    # How the operation pages; None for one whose answer has everything.
    paging: ClassVar[Literal["token", "number"] | None] = "number"
    # The most that the vendor documents for a page.
    page_size: ClassVar[int] = 50
    # The member with the name of an object.
    name_member: ClassVar[str] = ""

    def list_objects(self, client: AlibabaRegion) -> Iterator[list[Any]]:
        """Yield the pages of objects as the vendor describes them. Raises `CloudError`."""
        fetch = partial(client.call, self.product, self.action, **self.params)
        action = format_action(self.product, self.action)
        if self.paging == "token":
            return list_by_token(fetch, self.path, action, self.page_size)
        if self.paging == "number":
            return list_by_number(fetch, self.path, action, self.page_size, self.id_member)
        return iter((read_page(fetch(), self.path, action),))

    def read_name(self, found: Mapping[str, Any]) -> str:
        """Return the name of an object, which may also be one that could not be converted."""
        return str(found.get(self.name_member) or "")


def read_list(found: Mapping[str, Any], outer: str, inner: str) -> list[Any]:
    """Return a list of an object: services wrap each in a member of its own, `{"Tags": {"Tag": []}}`. [] without it."""
    wrapped = found.get(outer)
    listed = wrapped.get(inner) if isinstance(wrapped, dict) else None
    return listed if isinstance(listed, list) else []


def read_tags(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of an object, sorted by name. ECS and SLB name their members otherwise than the other services."""
    tags = {}
    for tag in read_list(found, "Tags", "Tag"):
        name = tag.get("TagKey") or tag.get("Key")
        if name:
            tags[str(name)] = str(tag.get("TagValue") or tag.get("Value") or "")
    return dict(sorted(tags.items()))


def read_paid_until(charge: Any, moment: Any) -> str:
    """Return until when a prepaid resource is paid; "" for one that is paid as it is used, which has a date of 2099 or none."""
    is_prepaid = str(charge or "").lower() in {"prepaid", "prepay"}
    text = str(moment or "")
    return text if is_prepaid and not text.startswith(_NEVER) else ""
