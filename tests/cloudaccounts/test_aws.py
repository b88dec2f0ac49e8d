"""Accounts of AWS, against moto's server: entered, verified, synced, changed there, and every way in which it may refuse."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.aws.errors import format_action
from cloudaccounts.sync.resources import run_sync, sync_resource
from networks.models import SecurityGroup
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.vms.conftest import AdminClient

from .aws_server import ACCESS_KEY, REGIONS, SECRET_KEY, an_account
from .resource_checks import check_logs, check_rows, list_links, list_row_names

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def entered(api, aws, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "aws",
        "credentials": {
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            **(credentials or {}),
        },
        "endpoint": aws.url,
        "regions": REGIONS,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


def entered_as(api, fields):
    return api.post("/api/v1/cloud-accounts/", {"name": "x", "provider": "aws", **fields}, format="json")


def list_with_sdk(aws, region):
    """Return the ids by type that the SDK lists in a region."""
    ec2, rds, elbv2 = (aws.client(name, region) for name in ("ec2", "rds", "elbv2"))
    listed = {
        "server": [
            one["InstanceId"]
            for group in ec2.describe_instances()["Reservations"]
            for one in group["Instances"]
        ],
        "volume": [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]],
        "network": [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]],
        "subnet": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
        "security_group": [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]],
        "port": [one["NetworkInterfaceId"] for one in ec2.describe_network_interfaces()["NetworkInterfaces"]],
        "floating_ip": [one["AllocationId"] for one in ec2.describe_addresses()["Addresses"]],
        "keypair": [one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"]],
        "zone": [one["ZoneName"] for one in ec2.describe_availability_zones()["AvailabilityZones"]],
        "image": [one["ImageId"] for one in ec2.describe_images(Owners=["self"])["Images"]],
        "database": [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]],
        "load_balancer": [one["LoadBalancerArn"] for one in elbv2.describe_load_balancers()["LoadBalancers"]],
        "cache": [
            one["CacheClusterId"]
            for one in aws.client("elasticache", region).describe_cache_clusters()["CacheClusters"]
        ],
    }
    return {type_code: sorted(ids) for type_code, ids in listed.items()}


def fill(aws, region):
    """Create one of each thing, and return the ids of two instances."""
    ec2 = aws.client("ec2", region)
    subnets = ec2.describe_subnets()["Subnets"]
    ec2.create_key_pair(KeyName="deploy")
    group = ec2.create_security_group(GroupName="web", Description="网站", VpcId=subnets[0]["VpcId"])[
        "GroupId"
    ]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        ],
    )
    tags = [
        {"Key": "Name", "Value": "网站 😀"},
        {"Key": "env", "Value": "prod"},
        {"Key": "Env", "Value": "PROD"},
    ]
    tags += [{"Key": f"team:{number}", "Value": "x" * 256} for number in range(47)]
    instances = ec2.run_instances(
        ImageId=ec2.register_image(Name="ubuntu", Architecture="x86_64")["ImageId"],
        MinCount=2,
        MaxCount=2,
        InstanceType="t3.small",
        KeyName="deploy",
        SubnetId=subnets[0]["SubnetId"],
        SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"]
    ids = [instance["InstanceId"] for instance in instances]
    ec2.create_image(InstanceId=ids[0], Name="golden")
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=ids[0], AllocationId=address["AllocationId"])
    aws.client("rds", region).create_db_instance(
        DBInstanceIdentifier="orders",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="portal",
        MasterUserPassword="of-no-matter",
        Tags=[{"Key": "env", "Value": "prod"}],
    )
    aws.client("elasticache", region).create_cache_cluster(
        CacheClusterId="sessions", Engine="redis", NumCacheNodes=1, CacheNodeType="cache.t3.micro"
    )
    aws.client("elbv2", region).create_load_balancer(
        Name="front", Subnets=[subnet["SubnetId"] for subnet in subnets[:2]]
    )
    return ids


def listed(api, **query):
    answer = api.get("/api/v1/cloud-resources/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def run_all():
    return {log.type: run_sync(log.pk) for log in SyncLog.objects.running().order_by("pk")}


def test_an_account_is_entered_verified_and_shows_what_aws_has(api, aws):
    ids = fill(aws, "us-east-1")
    aws.client("s3").create_bucket(Bucket="web-shop-logs")

    answer = entered(api, aws)
    shown = answer.json()["account"]
    assert SECRET_KEY not in json.dumps(answer.json())
    assert (shown["provider"], shown["access_id"], shown["options"]) == ("aws", ACCESS_KEY, {})
    api.done(answer)
    account = CloudAccount.objects.get(pk=shown["id"])
    assert account.facts["project_id"] == "123456789012"
    assert account.facts["regions"] == {region: ["ec2"] for region in REGIONS}
    logs = run_all()
    assert {log.state for log in logs.values()} == {"success"}, {
        code: log.message for code, log in logs.items() if log.state != "success"
    }
    assert set(logs) == {syncer.type for syncer in registry.list_syncers("aws")}

    # The same ids as the SDK lists, in both regions.
    for region in REGIONS:
        for type_code, cloud_ids in list_with_sdk(aws, region).items():
            assert sorted(list_row_names(region=region, type=type_code)) == cloud_ids, (region, type_code)
    assert list_row_names(type="bucket", region="") == {"web-shop-logs": "web-shop-logs"}
    check_rows()

    # What all clouds have in common.
    server = CloudResource.objects.get(type="server", cloud_id=ids[0])
    assert (server.name, server.status, server.state) == ("网站 😀", "running", "running")
    assert len(server.tags) == 50 and (server.tags["env"], server.tags["Env"]) == ("prod", "PROD")
    assert server.created_in_cloud_at is not None and len(server.addresses.split()) == 2
    links = {link.partition(" ")[0] for link in list_links(server)}
    assert links == {
        f"server-{one}" for one in ("image", "keypair", "network", "security_group", "subnet", "volume")
    }
    database = CloudResource.objects.get(type="database")
    assert (database.state, database.size_gb, database.tags) == ("running", 20, {"env": "prod"})
    rules = CloudResource.objects.get(type="security_group", name="web").attributes["rule_list"]
    assert {"direction": "ingress", "protocol": "tcp", "first_port": 443, "last_port": 443} in [
        {name: rule[name] for name in ("direction", "protocol", "first_port", "last_port")} for rule in rules
    ]
    names = [one["type"] for one in listed(api, tag="env:prod", page_size=200)]
    assert sorted(names) == ["database", "server", "server"]
    assert len(listed(api, tag="team:3")) == 2 and len(listed(api, tag="team:3:" + "x" * 256)) == 2
    assert listed(api, tag="env:staging") == [] == listed(api, expires_before="2030-01-01T00:00:00Z")
    assert {one["cloud_id"] for one in listed(api, state="running", type="server")} == set(ids)

    # Changed and removed there, told here.
    ec2 = aws.client("ec2")
    ec2.stop_instances(InstanceIds=[ids[0]])
    ec2.terminate_instances(InstanceIds=[ids[1]])
    ec2.create_tags(Resources=[ids[0]], Tags=[{"Key": "env", "Value": "test"}])
    for _ in range(2):
        assert sync_resource(account.pk, "server").state == "success"
    server.refresh_from_db()
    assert (server.state, server.tags["env"]) == ("stopped", "test")
    assert CloudResource.objects.get(cloud_id=ids[1]).expired_at is not None
    told = ResourceChange.objects.filter(resource=server).values_list("fields", flat=True)
    assert [sorted(fields) for fields in told] == [["attributes.reason", "attributes.tags", "status"]] or {
        name for fields in told for name in fields
    } >= {"status", "attributes.tags"}
    check_rows()
    check_logs()

    # The portal changes nothing there, and takes none of it for its own.
    assert not SecurityGroup.objects.exists()
    system = InformationSystemFactory(tenant=api.member.tenant)
    refused = api.new_vm(system, account=account.pk)
    assert refused.status_code == 400 and "account" in refused.json()["errors"]
    for path in ("unmanaged/", "hosts/"):
        answer = api.get(f"/api/v1/cloud-accounts/{account.pk}/{path}")
        assert answer.status_code in {403, 409}, answer.json()
    api.done(api.delete(f"/api/v1/cloud-accounts/{account.pk}/"))
    assert not CloudResource.objects.exists()


def test_secrets_stay_where_they_were_entered_for(api, aws):
    account = CloudAccount.objects.get(pk=entered(api, aws).json()["account"]["id"])
    path = f"/api/v1/cloud-accounts/{account.pk}/"

    def change(**fields):
        return api.patch(path, fields, format="json")

    # A new token goes with the stored key.
    assert change(credentials={"session_token": "a-token"}).status_code == 202
    account.refresh_from_db()
    assert account.decrypt_secrets() == {"secret_access_key": SECRET_KEY, "session_token": "a-token"}
    assert change(credentials={"session_token": ""}).status_code == 202
    account.refresh_from_db()
    assert account.decrypt_secrets() == {"secret_access_key": SECRET_KEY}
    # But no stored secret goes to another address, nor is it used for another key.
    for fields in (
        {"endpoint": "http://127.0.0.1:9"},
        {"endpoint": "http://127.0.0.1:9", "credentials": {"session_token": "x"}},
        {"credentials": {"access_key_id": "AKIAOTHER"}},
    ):
        answer = change(**fields)
        assert answer.status_code == 400 and "secret" in json.dumps(answer.json()), fields
        account.refresh_from_db()
        assert (account.auth_url, account.access_id) == (aws.url, ACCESS_KEY)
    assert change(endpoint="", credentials={"secret_access_key": "another"}).status_code == 202
    account.refresh_from_db()
    assert (account.auth_url, account.decrypt_secrets()) == ("", {"secret_access_key": "another"})
    role = "arn:aws:iam::123456789012:role/portal"
    assert change(credentials={"role_arn": role, "external_id": "x-1"}).status_code == 202
    assert change(name="renamed").status_code == 200
    account.refresh_from_db()
    assert account.options == {"role_arn": role, "external_id": "x-1"}
    assert change(credentials={"external_id": ""}).json()["account"]["options"] == {"role_arn": role}
    assert change(provider="openstack").status_code == 400


@pytest.mark.parametrize(
    ("credentials", "fields", "wrong"),
    [
        ({"access_key_id": ""}, {}, "access_key_id"),
        ({"access_key_id": None}, {}, "access_key_id"),
        ({"access_key_id": "two words"}, {}, "access_key_id"),
        ({"access_key_id": "k" * 129}, {}, "access_key_id"),
        ({"secret_access_key": ""}, {}, "secret_access_key"),
        ({"secret_access_key": "line\nbreak"}, {}, "secret_access_key"),
        ({"role_arn": "portal"}, {}, "role_arn"),
        ({"sign_in_region": "http://evil.example.org/"}, {}, "sign_in_region"),
        ({"password": "x"}, {}, "password"),
        ({}, {"endpoint": "ftp://example.org"}, "endpoint"),
        ({}, {"endpoint": "http://169.254.169.254/"}, "endpoint"),
        ({}, {"resource_types": ["router"]}, "router"),
        ({}, {"credentials": "AKIA"}, "credentials"),
        ({}, {"credentials": None}, "credentials"),
        ({}, {"auth_url": "http://example.org"}, "auth_url"),
        ({}, {"regions": [""]}, "regions"),
    ],
)
def test_a_bad_form_is_refused_by_field(api, aws, credentials, fields, wrong):
    answer = (
        entered(api, aws, credentials, **fields) if "credentials" not in fields else entered_as(api, fields)
    )

    assert answer.status_code == 400, answer.json()
    assert wrong in json.dumps(answer.json()["errors"])
    assert not CloudAccount.objects.exists()


def test_a_role_is_taken_and_kept_until_it_ends(aws):
    account = an_account(
        aws, options={"role_arn": "arn:aws:iam::123456789012:role/portal", "external_id": "x-1"}
    )

    assert sync_resource(account.pk, "zone").state == "success"
    assert sync_resource(account.pk, "zone").state == "success"

    assert aws.operations.count("AssumeRole") == 1


def test_the_admin_leaves_accounts_of_vendors_to_the_pages(aws):
    from cloudaccounts.admin import CloudAccountForm

    form = CloudAccountForm(
        {"name": "x", "provider": "aws", "auth_url": aws.url, "access_id": "x", "secret": "x"}
    )
    assert "provider" in form.errors


def test_an_unknown_region_is_named_with_those_that_there_are(api, aws):
    job = api.ended(entered(api, aws, regions=["us-east-1", "eu-middle-9"]))

    assert job["status"] == "failed"
    assert "no region 'eu-middle-9'" in str(job["outcome"]) and "eu-west-1" in str(job["outcome"])


def test_each_vendor_tells_its_form_and_the_least_policy(api, transactional_db):
    providers = {one["code"]: one for one in api.get("/api/v1/providers/").json()}

    aws = providers["aws"]
    assert [field["name"] for field in aws["credentials"] if field["is_secret"]] == [
        "secret_access_key",
        "session_token",
    ]
    assert (aws["is_managed"], aws["is_installed"], providers["openstack"]["is_managed"]) == (
        False,
        True,
        True,
    )
    (statement,) = json.loads(aws["policy"])["Statement"]
    assert statement["Action"] == aws["permissions"]
    # Each listing names the operation that it calls, and nothing is allowed that no listing needs.
    needed = {format_action(syncer.service, syncer.operation) for syncer in registry.list_syncers("aws")}
    assert needed | {"ec2:DescribeRegions", "sts:GetCallerIdentity"} == set(aws["permissions"])


def test_a_tenant_sees_nothing_of_anothers_account(api, aws):
    api.done(entered(api, aws))
    run_all()
    stranger = AdminClient(MembershipFactory(role=Role.ADMIN))

    assert listed(stranger) == [] and len(listed(api)) > 0


def test_an_account_of_openstack_has_the_same_form(api, cloud):
    flat = {"auth_url": cloud.simulator.auth_url if hasattr(cloud, "simulator") else "http://127.0.0.1:9/v3"}
    fields = {
        "name": "flat",
        "provider": "openstack",
        "credentials": {**flat, "access_id": "demo", "secret": "demo"},
    }

    answer = api.post("/api/v1/cloud-accounts/", fields, format="json")
    assert answer.status_code == 202, answer.json()
    assert answer.json()["account"]["auth_url"] == flat["auth_url"]
    fields["credentials"]["tenant"] = "x"
    assert "tenant" in json.dumps(api.post("/api/v1/cloud-accounts/", fields, format="json").json()["errors"])
