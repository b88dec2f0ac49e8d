"""The operations: listings, details of single objects, regions, the identity of the caller, and roles."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .state import ACCOUNT_ID, REGIONS, AlibabaState, Refusal

Params = Mapping[str, str]
Answer = dict[str, Any]
Operation = Callable[[AlibabaState, Params], Answer]

_DEFAULT_PAGE_SIZE = 10
# The members that a listing leaves out: the operation for a single object has them.
_HIDDEN = {
    "security_group": ("Permissions",),
    "database": ("DBInstanceStorage", "DBInstanceCPU", "DBInstanceMemory", "Port"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing: the kind of its objects, their id, the members of the answer, how it pages, and the most objects of a page."""

    kind: str
    id_member: str
    outer: str
    inner: str
    max_size: int
    has_tokens: bool = False
    total_member: str = "TotalCount"

    def __call__(self, state: AlibabaState, params: Params) -> Answer:
        """Answer with the requested page."""
        objects = [
            _show(self.kind, one)
            for one in _filter(self.kind, find_objects(state, self.kind, params), params)
        ]
        if self.has_tokens and "MaxResults" in params:
            page, more = page_by_token(state, objects, self.id_member, params, self.max_size)
            # The total means nothing here, the vendor says.
            return {self.outer: {self.inner: page}, "TotalCount": 0, "PageNumber": 0, "PageSize": 0, **more}
        size = _limit(state, params.get("PageSize"), self.max_size)
        number = max(int(params.get("PageNumber", "1")), 1)
        page = objects[(number - 1) * size : number * size]
        return {
            self.outer: {self.inner: page},
            self.total_member: len(objects),
            "PageNumber": number,
            "PageSize": size,
        }


def find_objects(state: AlibabaState, kind: str, params: Params) -> list[dict[str, Any]]:
    """Return the objects of a kind in the region of a request. Raises `Refusal` for a region that is none."""
    region = params.get("RegionId", "")
    if region not in REGIONS:
        raise Refusal(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist.")
    return state.list(region, kind)


def page_by_token(
    state: AlibabaState, objects: list[dict[str, Any]], id_member: str, params: Params, max_size: int
) -> tuple[list[dict[str, Any]], Answer]:
    """Return a page in the order of the ids, and the token of the next one. Raises `Refusal` for a token that is none."""
    size = _limit(state, params.get("MaxResults"), max_size)
    after = ""
    if token := params.get("NextToken"):
        try:
            after = base64.b64decode(token, validate=True).decode()
        except ValueError:
            raise Refusal(400, "InvalidNextToken", "The specified NextToken is invalid.") from None
    left = sorted(
        (one for one in objects if str(one[id_member]) > after), key=lambda one: str(one[id_member])
    )
    page = left[:size]
    more = base64.b64encode(str(page[-1][id_member]).encode()).decode() if len(left) > size else ""
    return page, {"NextToken": more}


def _limit(state: AlibabaState, requested: str | None, max_size: int) -> int:
    size = min(max(int(requested or _DEFAULT_PAGE_SIZE), 1), max_size)
    return min(size, state.page_size or size)


def _show(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    hidden = _HIDDEN.get(kind, ())
    return {name: value for name, value in one.items() if name not in hidden}


def _filter(kind: str, objects: list[dict[str, Any]], params: Params) -> list[dict[str, Any]]:
    if kind != "image":
        return objects
    statuses = params.get("Status", "Available").split(",")
    owner = params.get("ImageOwnerAlias")
    return [
        one
        for one in objects
        if one.get("Status") in statuses and owner in {None, one.get("ImageOwnerAlias")}
    ]


def describe_regions(state: AlibabaState, params: Params) -> Answer:
    """List the regions."""
    regions = [
        {
            "RegionId": name,
            "LocalName": name,
            "RegionEndpoint": f"ecs.{name}.aliyuncs.com",
            "Status": "available",
        }
        for name in REGIONS
    ]
    return {"Regions": {"Region": regions}}


def describe_zones(state: AlibabaState, params: Params) -> Answer:
    """List the zones of a region, in one answer."""
    return {"Zones": {"Zone": find_objects(state, "zone", params)}}


def describe_security_group_attribute(state: AlibabaState, params: Params) -> Answer:
    """Return the rules of a security group, page by page."""
    group = _find_one(state, "security_group", "SecurityGroupId", params)
    rules = [
        {"SecurityGroupRuleId": f"sgr-{n:06}", **rule} for n, rule in enumerate(group.get("Permissions", ()))
    ]
    page, more = page_by_token(state, rules, "SecurityGroupRuleId", params, 1000)
    return {"SecurityGroupId": group["SecurityGroupId"], "Permissions": {"Permission": page}, **more}


def describe_db_instance_attribute(state: AlibabaState, params: Params) -> Answer:
    """Return all members of a database."""
    return {"Items": {"DBInstanceAttribute": [_find_one(state, "database", "DBInstanceId", params)]}}


def _find_one(state: AlibabaState, kind: str, id_member: str, params: Params) -> dict[str, Any]:
    for one in find_objects(state, kind, params):
        if one.get(id_member) == params.get(id_member):
            return one
    raise Refusal(404, f"Invalid{id_member}.NotFound", f"The specified {id_member} does not exist.")


def get_caller_identity(state: AlibabaState, params: Params) -> Answer:
    """Return the identity of the user or role whose key has signed the request."""
    key = state.keys[params["AccessKeyId"]]
    return {
        "AccountId": ACCOUNT_ID,
        "Arn": key.arn,
        "IdentityType": "AssumedRoleUser" if key.token else "RAMUser",
        "PrincipalId": "216959339000654321",
        "UserId": "216959339000654321",
    }


def assume_role(state: AlibabaState, params: Params) -> Answer:
    """Give out a key for a role, with a token. Raises `Refusal` without the external ID that the role asks for."""
    if state.external_id and params.get("ExternalId") != state.external_id:
        raise Refusal(
            403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM."
        )
    with state.guard:
        state.taken_roles += 1
        number = state.taken_roles
    key_id, secret, token = f"STS.role{number}", f"secret-of-a-role-{number}", f"token+of/a=role-{number}"
    state.add_key(key_id, secret, params["RoleArn"].rpartition("/")[2], token)
    return {
        "Credentials": {
            "AccessKeyId": key_id,
            "AccessKeySecret": secret,
            "SecurityToken": token,
            "Expiration": "2030-01-01T00:00:00Z",
        },
        "AssumedRoleUser": {"Arn": state.keys[key_id].arn, "AssumedRoleId": f"34458433936495{number}:portal"},
    }


# By the name of the service in policies, its version, and the operation.
OPERATIONS: dict[tuple[str, str], tuple[str, Operation]] = {
    ("2014-05-26", "DescribeRegions"): ("ecs", describe_regions),
    ("2014-05-26", "DescribeZones"): ("ecs", describe_zones),
    ("2014-05-26", "DescribeInstances"): (
        "ecs",
        Listing("server", "InstanceId", "Instances", "Instance", 100, has_tokens=True),
    ),
    ("2014-05-26", "DescribeDisks"): (
        "ecs",
        Listing("volume", "DiskId", "Disks", "Disk", 500, has_tokens=True),
    ),
    ("2014-05-26", "DescribeSnapshots"): (
        "ecs",
        Listing("snapshot", "SnapshotId", "Snapshots", "Snapshot", 100, has_tokens=True),
    ),
    ("2014-05-26", "DescribeImages"): ("ecs", Listing("image", "ImageId", "Images", "Image", 100)),
    ("2014-05-26", "DescribeKeyPairs"): ("ecs", Listing("keypair", "KeyPairName", "KeyPairs", "KeyPair", 50)),
    ("2014-05-26", "DescribeSecurityGroups"): (
        "ecs",
        Listing("security_group", "SecurityGroupId", "SecurityGroups", "SecurityGroup", 100, has_tokens=True),
    ),
    ("2014-05-26", "DescribeNetworkInterfaces"): (
        "ecs",
        Listing(
            "port", "NetworkInterfaceId", "NetworkInterfaceSets", "NetworkInterfaceSet", 500, has_tokens=True
        ),
    ),
    ("2014-05-26", "DescribeSecurityGroupAttribute"): ("ecs", describe_security_group_attribute),
    ("2016-04-28", "DescribeVpcs"): ("vpc", Listing("network", "VpcId", "Vpcs", "Vpc", 50)),
    ("2016-04-28", "DescribeVSwitches"): ("vpc", Listing("subnet", "VSwitchId", "VSwitches", "VSwitch", 50)),
    ("2016-04-28", "DescribeEipAddresses"): (
        "vpc",
        Listing("floating_ip", "AllocationId", "EipAddresses", "EipAddress", 100),
    ),
    ("2014-05-15", "DescribeLoadBalancers"): (
        "slb",
        Listing("load_balancer", "LoadBalancerId", "LoadBalancers", "LoadBalancer", 100),
    ),
    ("2015-01-01", "DescribeInstances"): (
        "kvstore",
        Listing("cache", "InstanceId", "Instances", "KVStoreInstance", 50),
    ),
    ("2014-08-15", "DescribeDBInstances"): (
        "rds",
        Listing("database", "DBInstanceId", "Items", "DBInstance", 100, total_member="TotalRecordCount"),
    ),
    ("2014-08-15", "DescribeDBInstanceAttribute"): ("rds", describe_db_instance_attribute),
    ("2015-04-01", "GetCallerIdentity"): ("sts", get_caller_identity),
    ("2015-04-01", "AssumeRole"): ("sts", assume_role),
}
