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

from .aws_server import ACCESS_KEY, SECRET_KEY, AwsServer, refuse
from .resource_checks import check_logs, check_rows, list_links, list_row_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)
REGIONS = ["eu-west-1", "us-east-1"]


@pytest.fixture(scope="module")
def moto():
    server = AwsServer()
    yield server
    server.close()


@pytest.fixture
def aws(moto, settings, monkeypatch):
    """A cloud without anything but what AWS gives everybody; one attempt for a throttled request, so that tests do not wait."""
    settings.ALLOW_LOCAL_CLOUDS = True
    moto.reset()
    from cloudaccounts.sync.aws import connection

    monkeypatch.setattr(connection, "MAX_ATTEMPTS", 1)
    connection.opened_regions.clear()
    yield moto
    moto.reset()
    connection.opened_regions.clear()


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


def an_account(aws, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "aws",
            "provider": "aws",
            "access_id": ACCESS_KEY,
            "auth_url": aws.url,
            "regions": ["us-east-1"],
            **columns,
        }
    )
    account.set_secret(json.dumps({"secret_access_key": SECRET_KEY}))
    account.save()
    return account


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


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (
            refuse("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
            "refuses the credentials",
            True,
        ),
        (refuse("SignatureDoesNotMatch", f"with {SECRET_KEY}", 403), "refuses the credentials", True),
        (refuse("RequestExpired", "Request has expired.", 400), "the clock of the portal's machine", True),
        (refuse("ExpiredToken", "x", 400), "session token has expired", True),
        (
            refuse("OptInRequired", "You are not subscribed.", 401),
            "closed, suspended, or not signed up",
            True,
        ),
        (refuse("UnauthorizedOperation", "Not you.", 403), 'Add "ec2:DescribeVolumes" to the policy', False),
        (refuse("RequestLimitExceeded", "Slow down.", 503), "takes no more requests", False),
        (refuse("InternalError", "Oh.", 500), "could not answer ec2:DescribeVolumes", False),
        (
            (200, {"Content-Type": "text/html"}, b"<html><body>Welcome!<br></html>"),
            "does not come from AWS",
            False,
        ),
        ((200, {"Content-Type": "text/xml"}, b"\x00\xff"), "does not come from AWS", False),
        ((502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"), "could not answer", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_told_and_costs_no_row(aws, answer, words, is_sign_in):
    account = an_account(aws)
    aws.client("ec2").create_volume(Size=5, AvailabilityZone="us-east-1a")
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    assert len(before) == 1
    aws.answer = lambda operation, number: answer if operation == "DescribeVolumes" else None

    for _ in range(3):
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert SECRET_KEY not in read_log_texts(log)

    assert list_row_names() == before
    account.refresh_from_db()
    assert (account.sign_in_failed_at is not None) == is_sign_in
    # One type alone is concerned.
    assert sync_resource(account.pk, "zone").state == "success"
    check_logs()


def a_page(ids, token=""):
    """Return an answer with volumes, and the token of the next page."""
    items = "".join(f"<item><volumeId>{one}</volumeId><status>available</status></item>" for one in ids)
    following = f"<nextToken>{token}</nextToken>" if token else ""
    xml = f'<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet>{items}</volumeSet>{following}</DescribeVolumesResponse>'
    return 200, {"Content-Type": "text/xml"}, xml.encode()


def test_a_listing_that_breaks_off_expires_nothing(aws):
    account = an_account(aws)
    pages = {1: a_page(["vol-1", "vol-2"], "two"), 2: a_page(["vol-3"], "three"), 3: a_page(["vol-4"])}
    aws.answer = lambda operation, number: pages[number]
    assert sync_resource(account.pk, "volume").created == 4
    before = list_row_names()

    # The last page is refused: its token has run out, AWS throttles, or a page leads to itself for ever.
    pages |= {1: a_page([], "two"), 2: a_page(["vol-3"], "three")}
    for last, words in (
        (refuse("InvalidNextToken"), "can't continue the listing"),
        (refuse("RequestLimitExceeded", status=503), "no more requests"),
        (a_page(["vol-3"], "three"), "the same page"),
    ):
        pages[3] = last
        aws.operations.clear()
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert (log.expired, log.missing) == (0, 0)
        assert list_row_names() == before
    # And whole again, it expires what is gone.
    pages |= {1: a_page(["vol-1", "vol-2", "vol-3"])}
    for _ in range(2):
        aws.operations.clear()
        log = sync_resource(account.pk, "volume")
    assert (log.state, log.expired) == ("success", 1)


def test_one_region_that_fails_leaves_the_other_as_it_is(aws):
    account = an_account(aws, regions=REGIONS)
    for region in REGIONS:
        aws.client("ec2", region).create_volume(Size=1, AvailabilityZone=f"{region}a")
    assert sync_resource(account.pk, "volume").created == 2
    volumes = aws.client("ec2", REGIONS[0]).describe_volumes()["Volumes"]
    aws.client("ec2", REGIONS[0]).delete_volume(VolumeId=volumes[0]["VolumeId"])
    aws.answer = lambda operation, number: refuse("UnauthorizedOperation") if number % 2 == 0 else None

    aws.operations.clear()
    for _ in range(2):
        log = sync_resource(account.pk, "volume")

    assert (log.state, log.regions[REGIONS[0]], log.expired) == ("failed", "", 1)
    assert "ec2:DescribeVolumes" in log.regions[REGIONS[1]]
    assert len(list_row_names(region=REGIONS[0])) == 0 and len(list_row_names(region=REGIONS[1])) == 1


def test_one_odd_object_does_not_hide_the_others(aws):
    account = an_account(aws)
    volumes = "".join(
        f"<item>{inner}</item>"
        for inner in (
            "<volumeId>vol-1</volumeId><size>10</size><status>available</status>",
            "<volumeId>vol-2</volumeId><size>many</size><status>available</status>",
            "<volumeId>vol-3</volumeId><size>7</size><status>half-open</status><newThing><a>1</a></newThing>",
            "<volumeId>vol-4</volumeId><tagSet><item><key>Name</key><value>a&#9;b</value></item></tagSet>",
        )
    )
    body = f'<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><volumeSet>{volumes}</volumeSet></DescribeVolumesResponse>'
    aws.answer = lambda operation, number: (200, {"Content-Type": "text/xml"}, body.encode())

    log = sync_resource(account.pk, "volume")

    # A number that is none makes the SDK refuse the whole page: it is told, and nothing is taken for gone.
    assert (log.state, list_row_names()) == ("failed", {}) and "does not come from AWS" in log.message
    aws.answer = lambda operation, number: (
        200,
        {"Content-Type": "text/xml"},
        body.replace("<size>many</size>", "").encode(),
    )
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.created) == ("success", 4)
    states = dict(CloudResource.objects.values_list("cloud_id", "state"))
    assert states == {"vol-1": "available", "vol-2": "available", "vol-3": "", "vol-4": ""}


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
