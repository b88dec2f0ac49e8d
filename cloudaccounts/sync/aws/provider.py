"""The AWS provider, and the base class of its syncers."""

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
    from .connection import AwsRegion

# What an object's name may be read from.
_NAME_TAG = "Name"


@register_provider
class AwsProvider(VendorProvider):
    """Amazon Web Services: an account is a user or a role of AWS's, and a client is one of its regions."""

    code: ClassVar[str] = "aws"
    label: ClassVar[str | Promise] = "Amazon Web Services"
    identity: ClassVar[str] = "access_key_id"
    takes_endpoint: ClassVar[bool] = True
    package: ClassVar[str] = "botocore"
    requirements: ClassVar[str] = "requirements-aws.txt"
    permissions: ClassVar[tuple[str, ...]] = ("ec2:DescribeRegions", "sts:GetCallerIdentity")
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "access_key_id",
            gettext_lazy("Access key ID"),
            max_length=128,
            pattern="[A-Za-z0-9_]{4,128}",
        ),
        CredentialField(
            "secret_access_key", gettext_lazy("Secret access key"), is_secret=True, max_length=512
        ),
        CredentialField(
            "session_token",
            gettext_lazy("Session token"),
            gettext_lazy("Only for temporary credentials of STS."),
            is_secret=True,
            required=False,
            max_length=8192,
        ),
        CredentialField(
            "role_arn",
            gettext_lazy("Role (ARN)"),
            gettext_lazy("A role that these credentials take, e.g. arn:aws:iam::123456789012:role/portal"),
            required=False,
            max_length=2048,
            pattern=r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}",
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
            gettext_lazy("us-east-1 if empty; cn-north-1 for accounts of China."),
            required=False,
            max_length=50,
            pattern="[a-z]{2}(-[a-z]+)+-[0-9]{1,2}",
        ),
    )

    def build_policy(self) -> str:
        """Return a policy of IAM that allows the listings and nothing else."""
        allowed = {"Effect": "Allow", "Action": self.list_permissions(), "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": [allowed]}, indent=2)

    def open_client(self, account: CloudAccount, region: str) -> AwsRegion:
        """Open a region; "" is the one in which the account signs in."""
        self.require_sdk()
        from .connection import open_region  # noqa: PLC0415 - it imports the SDK, which is an extra.

        return open_region(account, region)

    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Ask AWS who the credentials are of, and for the regions; return `project_id` (the AWS account), `arn` and `regions`."""
        client = self.open_client(account, "")
        caller = client.call("sts", "get_caller_identity")
        enabled = self.list_all_regions(account)
        self.require_known_regions(account, enabled)
        record_clock_offset(account, client.home_region, client.clock_offset())
        return self.describe_account(
            account, enabled, service="ec2", number=caller.get("Account"), arn=caller.get("Arn")
        )

    def list_all_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the vendor has for the account."""
        answer = self.open_client(account, "").call("ec2", "describe_regions")
        names = [one.get("RegionName") for one in answer.get("Regions") or ()]
        return read_region_names(names)


class AwsSyncer(VendorSyncer):
    """Lists one resource type of AWS: the pages of one operation, object by object."""

    provider = AwsProvider.code
    # The service and the operation as botocore names them, and the member of the answer with the objects.
    service: ClassVar[str]
    operation: ClassVar[str]
    member: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}
    page_size: ClassVar[int | None] = None

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of objects as AWS describes them. Raises `CloudError`."""
        return client.list_pages(
            self.service, self.operation, self.member, page_size=self.page_size, **self.params
        )

    def read_name(self, found: Mapping[str, Any]) -> str:
        """Return the name of an object that could not be converted."""
        return read_name(found)


def read_tags(found: Mapping[str, Any], member: str = "Tags") -> dict[str, str]:
    """Return the tags of an object, sorted by name."""
    tags = {str(tag["Key"]): str(tag.get("Value") or "") for tag in found.get(member) or () if "Key" in tag}
    return dict(sorted(tags.items()))


def read_name(found: Mapping[str, Any]) -> str:
    """Return the name of an object, which most services of AWS keep in a tag."""
    for tag in found.get("Tags") or ():
        if isinstance(tag, dict) and tag.get("Key") == _NAME_TAG:
            return str(tag.get("Value") or "")
    return ""
