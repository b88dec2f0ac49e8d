"""The simulated Tencent Cloud with the key of the tests, and accounts of it."""

from __future__ import annotations

import json

from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.tencent import connection
from simulator.http_messages import Response
from simulator.tencent import TencentServer, build_object
from simulator.tencent.signature import Key

SECRET_ID, SECRET_KEY = "AKIDportaltests0000000000000001", "a-secret-of-tests-that-nobody-may-see"
GUANGZHOU, SHANGHAI = REGIONS = ["ap-guangzhou", "ap-shanghai"]
TAGS = {
    "env": "prod",
    "Env": "PROD",
    "部门": "电商 😀",
    **{f"team:{number}": "x" * 255 for number in range(47)},
}


class TencentTestServer(TencentServer):
    """The server, and what tests ask of it most."""

    def reset(self):
        """Forget everything but the key of the tests."""
        self.cloud.reset()
        self.cloud.keys[SECRET_ID] = Key(SECRET_ID, SECRET_KEY)

    def put(self, kind, cloud_id, *, region=GUANGZHOU, **members):
        """Create an object from the documented example."""
        return self.cloud.put(region, kind, build_object(kind, cloud_id, **members))

    def answer(self, operation, *answers):
        """Answer the requests of an operation with these in turn, the last one for ever; None passes one on."""

        def intercept(asked, number):
            return answers[min(number, len(answers)) - 1] if asked == operation else None

        self.cloud.operations.clear()
        self.cloud.intercept = intercept

    def fill(self, region=GUANGZHOU):
        """Create one of each thing or more, some of them prepaid."""
        tags = [{"Key": name, "Value": value} for name, value in TAGS.items()]
        other_tags = [{"TagKey": "env", "TagValue": "prod"}]
        self.put("zone", f"{region}-3", region=region)
        self.put("keypair", "skey-11112222", region=region, Tags=tags[:1])
        self.put("image", "img-11112222", region=region, SnapshotSet=[{"SnapshotId": "snap-11112222"}])
        self.put("image", "img-public01", region=region, ImageType="PUBLIC_IMAGE")
        self.put("network", "vpc-11112222", region=region, AssistantCidrSet=[{"CidrBlock": "172.16.0.0/16"}])
        self.put("subnet", "subnet-11112222", region=region)
        self.put("security_group", "sg-11112222", region=region, SecurityGroupDesc="网站")
        self.put("security_group", "sg-33334444", region=region)
        self.cloud.rules[region, "sg-11112222"] = RULES
        self.put("snapshot", "snap-11112222", region=region)
        self.put("volume", "disk-system01", region=region, DiskState="ATTACHED", InstanceId="ins-11112222")
        self.put(
            "volume",
            "disk-11112222",
            region=region,
            DiskChargeType="PREPAID",
            DeadlineTime="2027-01-31 10:00:00",
        )
        self.put(
            "server",
            "ins-11112222",
            region=region,
            InstanceName="网站 😀",
            Tags=tags,
            InstanceChargeType="PREPAID",
            ExpiredTime="2027-01-31T02:00:00Z",
            PublicIpAddresses=["43.138.0.9"],
            DataDisks=[{"DiskId": "disk-11112222"}, {"DiskId": "ldisk-local001"}],
        )
        self.put(
            "server",
            "ins-33334444",
            region=region,
            InstanceState="STOPPED",
            InstanceChargeType="PREPAID",
            ExpiredTime="2099-12-31T00:00:00Z",
        )
        self.put("port", "eni-11112222", region=region)
        self.put(
            "floating_ip",
            "eip-11112222",
            region=region,
            AddressStatus="BIND",
            InstanceId="ins-11112222",
            NetworkInterfaceId="eni-11112222",
            PrivateAddressIp="10.0.0.4",
        )
        self.put("floating_ip", "eip-33334444", region=region, InstanceId="lb-11112222")
        self.put("load_balancer", "lb-11112222", region=region, Tags=other_tags)
        self.put("load_balancer", "lb-33334444", region=region, Isolation=1, Status=0)
        self.put("cache", "crs-11112222", region=region, InstanceTags=other_tags)
        self.put(
            "database",
            "cdb-11112222",
            region=region,
            TagList=other_tags,
            PayType=0,
            DeadlineTime="2027-01-31 10:00:00",
        )


RULES = {
    "Version": "3",
    "Ingress": [
        {
            "PolicyIndex": 1,
            "Protocol": "TCP",
            "Port": "80,8000-9000",
            "CidrBlock": "",
            "Ipv6CidrBlock": "",
            "SecurityGroupId": "sg-33334444",
            "ServiceTemplate": {"ServiceId": "", "ServiceGroupId": ""},
            "AddressTemplate": {"AddressId": "", "AddressGroupId": ""},
            "Action": "DROP",
            "PolicyDescription": "",
        },
        {
            "PolicyIndex": 0,
            "Protocol": "TCP",
            "Port": "443",
            "CidrBlock": "0.0.0.0/0",
            "Action": "ACCEPT",
            "PolicyDescription": "网站",
        },
    ],
    "Egress": [
        {
            "PolicyIndex": 0,
            "Protocol": "ALL",
            "Port": "ALL",
            "Ipv6CidrBlock": "::/0",
            "AddressTemplate": {"AddressId": "", "AddressGroupId": "ipmg-11112222"},
            "Action": "ACCEPT",
        }
    ],
}


def prepare(server, settings, monkeypatch):
    """Yield an empty cloud; throttled requests are repeated twice, without waits."""
    settings.ALLOW_LOCAL_CLOUDS = True
    server.reset()
    monkeypatch.setattr(connection, "MAX_ATTEMPTS", 3)
    monkeypatch.setattr(connection, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr(connection, "LEAST_SECONDS_BETWEEN", 0)
    connection.opened_regions.clear()
    yield server
    connection.opened_regions.clear()


def an_account(tencent, *, secret=SECRET_KEY, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "tencent",
            "provider": "tencent",
            "access_id": SECRET_ID,
            "auth_url": tencent.url,
            "regions": [GUANGZHOU],
            **columns,
        }
    )
    account.set_secret(json.dumps({"secret_key": secret}))
    account.save()
    return account


def a_page(objects, total, *, member="DiskSet", **more):
    """Return an answer with a page of objects."""
    return Response(200, {"Response": {"TotalCount": total, member: objects, "RequestId": "r-1", **more}})
