"""The state of the simulated Tencent Cloud, and the operations on it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ..http_messages import Request, Response
from .answers import ApiError, answer
from .operations import GLOBAL_SERVICES, ID_MEMBERS, LISTINGS, VERSIONS, Listing
from .signature import Key, check_signature

REGIONS = ("ap-beijing", "ap-guangzhou", "ap-shanghai", "eu-frankfurt")
ACCOUNT_ID = "100000000001"
# What an instance's image filter keeps, by the type that the filter names.
_IMAGE_TYPE = "image-type"


class TencentCloud:
    """What a Tencent Cloud holds, by region and kind. Thread-safe as long as tests change it between requests."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all objects, keys and faults."""
        self.keys: dict[str, Key] = {}
        # The roles that may be taken, with the external id that is asked for.
        self.roles: dict[str, str] = {}
        self.regions: list[str] = list(REGIONS)
        self.objects: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        # The rules of security groups, by region and group: what DescribeSecurityGroupPolicies answers.
        self.rules: dict[tuple[str, str], dict[str, Any]] = {}
        # Seconds by which its clock is ahead.
        self.clock_offset = 0.0
        # Answers for the next requests of an operation to be throttled, by operation.
        self.throttled: dict[str, int] = {}
        # Called with the operation and the number of its request before anything else; may return the answer.
        self.intercept: Callable[[str, int], Response | None] = lambda _operation, _number: None
        self.operations: list[str] = []

    def now(self) -> float:
        """Return its time."""
        return time.time() + self.clock_offset

    def put(self, region: str, kind: str, found: dict[str, Any]) -> str:
        """Create an object or replace it; return its id."""
        cloud_id = str(found[ID_MEMBERS[kind]])
        self.objects.setdefault((region, kind), {})[cloud_id] = found
        return cloud_id

    def get(self, region: str, kind: str, cloud_id: str) -> dict[str, Any]:
        """Return an object, to be changed in place."""
        return self.objects[region, kind][cloud_id]

    def remove(self, region: str, kind: str, cloud_id: str) -> None:
        """Remove an object."""
        del self.objects[region, kind][cloud_id]

    def list_ids(self, region: str, kind: str) -> list[str]:
        """List the ids of the objects of a kind, in the order in which they were created."""
        return list(self.objects.get((region, kind), {}))

    def serve(self, request: Request) -> Response:
        """Answer a request."""
        operation = request.headers.get("x-tc-action", "")
        with self.guard:
            self.operations.append(operation)
            found = self.intercept(operation, self.operations.count(operation))
            if found is not None:
                return found
            try:
                return self._serve(request, operation)
            except ApiError as error:
                return error.to_response()

    def _serve(self, request: Request, operation: str) -> Response:
        key, service = check_signature(request, self.keys.get, self.now())
        if request.headers.get("x-tc-version") != VERSIONS.get(service):
            raise ApiError("NoSuchVersion", "The version is not valid.")
        if self.throttled.get(operation, 0) > 0:
            self.throttled[operation] -= 1
            raise ApiError(
                "RequestLimitExceeded",
                "Your current request times equals to `21` in a second, which exceeds the frequency limit `20`.",
            )
        region = request.headers.get("x-tc-region", "")
        if service not in GLOBAL_SERVICES and region not in self.regions:
            raise ApiError("UnsupportedRegion", f"The region `{region}` is not supported.")
        params = json.loads(request.body or b"{}")
        handler = _OPERATIONS.get((service, operation))
        if handler is not None:
            return answer(handler(self, key, region, params))
        listing = LISTINGS.get((service, operation))
        if listing is None:
            raise ApiError("InvalidAction", f"The action `{operation}` is not valid.")
        return answer(self._list(listing, region, params))

    def _list(self, listing: Listing, region: str, params: dict[str, Any]) -> dict[str, Any]:
        found = list(self.objects.get((region, listing.kind), {}).values())
        if listing.max_limit is None:
            _refuse_unknown(params, set())
            return {"TotalCount": len(found), listing.member: found}
        _refuse_unknown(params, {"Offset", "Limit", "Filters"})
        for one in params.get("Filters", []):
            if listing.kind != "image" or one["Name"] != _IMAGE_TYPE:
                raise ApiError("InvalidFilter", f"The filter `{one['Name']}` is not valid.")
            found = [image for image in found if image["ImageType"] in one["Values"]]
        offset = _read_number(params, "Offset", 0, listing)
        limit = _read_number(params, "Limit", 20, listing)
        if not 0 < limit <= listing.max_limit or offset < 0:
            raise ApiError("InvalidParameterValue.LimitExceeded", "The parameter `Limit` is out of range.")
        if listing.has_aligned_offsets and offset % limit:
            raise ApiError("InvalidParameterValue", "The parameter `Offset` is no multiple of `Limit`.")
        return {"TotalCount": len(found), listing.member: found[offset : offset + limit]}


def _refuse_unknown(params: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(params) - known):
        raise ApiError("UnknownParameter", f"The parameter `{unknown[0]}` is not recognized.")


def _read_number(params: dict[str, Any], name: str, default: int, listing: Listing) -> int:
    value = params.get(name, str(default) if listing.has_text_offsets else default)
    if type(value) is not (str if listing.has_text_offsets else int):
        expected = "String" if listing.has_text_offsets else "Integer"
        raise ApiError("InvalidParameter", f"The value type of parameter `{name}` is not `{expected}`.")
    return int(value)


def _describe_regions(cloud: TencentCloud, key: Key, region: str, params: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, {"Product", "Scene"})
    if not params.get("Product"):
        raise ApiError("MissingParameter", "The request is missing a required parameter `Product`.")
    regions = [
        {"Region": name, "RegionName": f"地域({name})", "RegionState": "AVAILABLE", "RegionTypeMC": None}
        for name in cloud.regions
    ]
    return {"TotalCount": len(regions), "RegionSet": regions}


def _describe_rules(cloud: TencentCloud, key: Key, region: str, params: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, {"SecurityGroupId", "Filters"})
    group_id = str(params.get("SecurityGroupId") or "")
    if group_id not in cloud.objects.get((region, "security_group"), {}):
        raise ApiError("ResourceNotFound", f"The resource `{group_id}` is not found.")
    empty: dict[str, Any] = {"Version": "0", "Ingress": [], "Egress": []}
    return {"SecurityGroupPolicySet": cloud.rules.get((region, group_id), empty)}


def _get_caller(cloud: TencentCloud, key: Key, region: str, params: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, set())
    return {
        "Arn": f"qcs::cam::uin/{ACCOUNT_ID}:uin/100000000002",
        "AccountId": ACCOUNT_ID,
        "UserId": "100000000002",
        "PrincipalId": "100000000002",
        "Type": "CAMUser",
    }


def _assume_role(cloud: TencentCloud, key: Key, region: str, params: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, {"RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"})
    if key.token:
        raise ApiError("UnsupportedOperation", "A role can't take another role.")
    role = str(params.get("RoleArn"))
    if cloud.roles.get(role) != params.get("ExternalId", ""):
        raise ApiError("UnauthorizedOperation", "The role may not be taken.")
    number = len(cloud.keys)
    taken = Key(f"AKIDtemporary{number:08}", f"temporary-secret-{number:08}", f"temporary-token-{number:08}")
    cloud.keys[taken.secret_id] = taken
    ends = int(cloud.now()) + int(params.get("DurationSeconds", 7200))
    return {
        "Credentials": {
            "Token": taken.token,
            "TmpSecretId": taken.secret_id,
            "TmpSecretKey": taken.secret_key,
        },
        "ExpiredTime": ends,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends)),
    }


_OPERATIONS = {
    ("region", "DescribeRegions"): _describe_regions,
    ("vpc", "DescribeSecurityGroupPolicies"): _describe_rules,
    ("sts", "GetCallerIdentity"): _get_caller,
    ("sts", "AssumeRole"): _assume_role,
}
