"""Security groups and their rules, from the request to the cloud and back."""

from __future__ import annotations

import uuid

import pytest

from cloudaccounts.connect import open_cloud
from networks.models import SecurityGroup
from tests.factories import CloudAccountFactory, TenantFactory
from tests.working import work

from .conftest import errors_of

pytestmark = pytest.mark.usefixtures("catalogue")
URL = "/api/v1/security-groups/"


def groups_in(cloud):
    return {group["name"]: group for group in cloud.call("GET", "objects")["security_groups"]}


@pytest.fixture
def create(admin):
    def run(**fields):
        answer = admin.post(URL, {"name": "web", **fields}, format="json")
        admin.done(answer)
        return answer.json()["security_group"]["id"]

    return run


def test_a_group_lives_from_creation_to_deletion(admin, cloud, create):
    group_id = create(template="web", description="Shop")
    shown = admin.get(f"{URL}{group_id}/").json()
    added = admin.post(
        f"{URL}{group_id}/rules/",
        {"direction": "ingress", "protocol": "tcp", "port_min": 22, "remote_cidr": "192.0.2.7/24"},
        format="json",
    )
    admin.done(added)
    rules = admin.get(f"{URL}{group_id}/").json()["rules"]
    (ssh,) = [rule for rule in rules if rule["port_min"] == 22]
    admin.done(admin.delete(f"{URL}{group_id}/rules/{ssh['id']}/"))
    admin.done(admin.patch(f"{URL}{group_id}/", {"name": "shop"}, format="json"))

    assert shown["status"] == "active"
    assert len(shown["rules"]) == 6, "two ports for two address families, and everything outward"
    assert ssh["remote_cidr"] == "192.0.2.0/24"
    assert ssh["text"] == "Allows TCP 22 from 192.0.2.0/24."
    assert added.json()["warnings"] == []
    assert "shop" in groups_in(cloud)
    assert admin.get(f"{URL}{group_id}/").json()["description"] == "Shop"
    admin.done(admin.delete(f"{URL}{group_id}/"))
    assert admin.get(f"{URL}{group_id}/").status_code == 404
    assert "shop" not in groups_in(cloud)


def test_a_copy_has_the_rules_of_its_original_alone(admin, cloud, create):
    group_id = create()
    first = admin.get(f"{URL}{group_id}/").json()
    egress = next(rule for rule in first["rules"] if rule["ethertype"] == "IPv6")
    admin.done(admin.delete(f"{URL}{group_id}/rules/{egress['id']}/"))
    inner = {"direction": "ingress", "remote_group": group_id}
    admin.done(admin.post(f"{URL}{group_id}/rules/", inner, format="json"))
    answer = admin.post(f"{URL}{group_id}/copy/", {"name": "web-2"}, format="json")
    admin.done(answer)

    copy = admin.get(f"{URL}{answer.json()['security_group']['id']}/").json()

    assert len(copy["rules"]) == 2
    assert {rule["remote_group"] for rule in copy["rules"]} == {None, copy["id"]}, "itself, not the original"


def test_a_group_that_a_job_is_changing_is_not_copied(admin, create):
    group_id = create()
    rule = {"direction": "ingress", "protocol": "tcp", "port_min": 80}
    adding = admin.post(f"{URL}{group_id}/rules/", rule, format="json")

    refused = admin.post(f"{URL}{group_id}/copy/", {"name": "web-2"}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "busy")
    assert SecurityGroup.objects.count() == 1
    admin.done(adding)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "direction"),
        ({"direction": "inward"}, "direction"),
        ({"port_min": 443, "port_max": 80, "protocol": "tcp"}, "port_max"),
        ({"port_max": 80, "protocol": "tcp"}, "port_min"),
        ({"port_min": 0, "protocol": "tcp"}, "port_min"),
        ({"port_min": 65536, "protocol": "tcp"}, "port_min"),
        ({"port_min": 80}, "protocol"),
        ({"port_min": 80, "protocol": "icmp"}, "protocol"),
        ({"protocol": "icmp", "icmp_code": 4}, "icmp_type"),
        ({"protocol": "icmp", "icmp_type": 256}, "icmp_type"),
        ({"protocol": "icmp", "icmp_type": 3, "icmp_code": -1}, "icmp_code"),
        ({"protocol": "tcp", "icmp_type": 8}, "icmp_type"),
        ({"icmp_type": 8}, "icmp_type"),
        ({"template": "ping", "icmp_type": 8}, "icmp_type"),
        ({"protocol": "carrier-pigeon"}, "protocol"),
        ({"protocol": "256"}, "protocol"),
        ({"remote_cidr": "10.0.0.0/33"}, "remote_cidr"),
        ({"remote_cidr": "office"}, "remote_cidr"),
        ({"remote_cidr": "fe80::1%eth0"}, "remote_cidr"),
        ({"remote_cidr": "2001:db8::/32", "ethertype": "IPv4"}, "remote_cidr"),
        ({"remote_cidr": "10.0.0.0/8", "ethertype": "IPv6"}, "remote_cidr"),
        ({"remote_group": str(uuid.uuid4())}, "remote_group"),
        ({"ethertype": "IPX"}, "ethertype"),
        ({"description": "a\u202eb"}, "description"),
        ({"colour": "red"}, "colour"),
        ({"template": "web", "port_min": 3}, "port_min"),
        ({"template": "ssh"}, "cidr"),
        ({"template": "ssh", "cidr": "here"}, "cidr"),
        ({"template": "database", "group": str(uuid.uuid4())}, "group"),
        ({"template": "moon"}, "template"),
    ],
)
def test_a_bad_rule_is_refused_at_its_field(admin, account, rule, field):
    group = SecurityGroup.objects.create(
        tenant=admin.member.tenant, account=account, region="RegionOne", name="web", status="active",
        cloud_id=str(uuid.uuid4()),
    )  # fmt: skip
    body = rule if not rule or "template" in rule else {"direction": "ingress", **rule}

    answer = admin.post(f"{URL}{group.pk}/rules/", body, format="json")

    assert field in errors_of(answer)
    assert not admin.get("/api/v1/jobs/").json()["count"]


def test_rules_for_icmp_have_type_and_code_and_are_told_in_words(admin, account, create, sync):
    group_id = create(template="ping")
    rule = {"direction": "ingress", "protocol": "icmp", "icmp_type": 3, "icmp_code": 4}
    admin.done(admin.post(f"{URL}{group_id}/rules/", {**rule, "remote_cidr": "192.0.2.0/24"}, format="json"))
    SecurityGroup.objects.update(rules=[], written_at="2020-01-01T00:00Z")
    sync("security_group")

    group = admin.get(f"{URL}{group_id}/").json()
    double = admin.post(f"{URL}{group_id}/rules/", {**rule, "remote_cidr": "192.0.2.0/24"}, format="json")
    inside = admin.post(f"{URL}{group_id}/rules/", {**rule, "icmp_type": 8, "icmp_code": 0}, format="json")

    assert {rule["text"] for rule in group["rules"] if rule["direction"] == "ingress"} == {
        "Allows ping (echo request) from every IPv4 address.",
        "Allows ping (echo request) from every IPv6 address.",
        "Allows ICMP type 3 code 4 from 192.0.2.0/24.",
    }
    shown = {(rule["icmp_type"], rule["icmp_code"]) for rule in group["rules"]}
    assert shown == {(None, None), (8, None), (128, None), (3, 4)}
    in_cloud = open_cloud(account, "RegionOne").network.get_security_group(group["cloud_id"])
    assert (3, 4) in {(rule.icmp_type, rule.icmp_code) for rule in in_cloud.rules}
    assert list(errors_of(double)) == ["direction"]
    assert "ping" in inside.json()["warnings"][0], "a type covers its codes"


def test_a_copy_of_a_rule_for_icmp_keeps_its_type(admin, create):
    group_id = create(template="ping")
    answer = admin.post(f"{URL}{group_id}/copy/", {"name": "web-2"}, format="json")
    admin.done(answer)

    copy = admin.get(f"{URL}{answer.json()['security_group']['id']}/").json()

    assert {rule["icmp_type"] for rule in copy["rules"]} == {None, 8, 128}


def test_a_rule_that_exists_is_refused_and_one_that_another_covers_is_warned_about(admin, create):
    url = f"{URL}{create()}/rules/"
    wide = {"direction": "ingress", "protocol": "tcp", "port_min": 80, "port_max": 90}
    admin.done(admin.post(url, wide, format="json"))

    double = admin.post(url, {**wide, "protocol": "6", "remote_cidr": "0.0.0.0/0"}, format="json")
    inside = admin.post(url, {**wide, "port_max": 85, "remote_cidr": "10.0.0.0/8"}, format="json")

    assert list(errors_of(double)) == ["direction"], "the same to Neutron"
    assert inside.status_code == 202
    (warning,) = inside.json()["warnings"]
    assert "TCP 80–90" in warning


@pytest.mark.parametrize(
    "rule",
    [
        {"protocol": "tcp", "port_min": 22},
        {"protocol": "tcp", "port_min": 3000, "port_max": 4000, "remote_cidr": "::/0"},
        {"remote_cidr": "0.0.0.0/0"},
    ],
)
def test_a_login_port_open_to_everybody_is_warned_about_not_refused(admin, create, rule):
    group_id = create()

    answer = admin.post(f"{URL}{group_id}/rules/", {"direction": "ingress", **rule}, format="json")

    assert answer.status_code == 202
    assert answer.json()["warnings"]
    admin.done(answer)
    shown = admin.get(f"{URL}{group_id}/").json()["rules"]
    assert [rule for rule in shown if rule["warnings"]], "the page and the API go on to warn"


def test_a_rule_that_was_added_in_the_cloud_meanwhile_is_said_so(admin, cloud, create, sync):
    group_id = create()
    rule = {"direction": "ingress", "protocol": "tcp", "port_min": 80}
    admin.done(admin.post(f"{URL}{group_id}/rules/", rule, format="json"))
    # The row does not know of the rule yet, as if another tool had added it.
    SecurityGroup.objects.filter(pk=group_id).update(rules=[])

    job = admin.ended(admin.post(f"{URL}{group_id}/rules/", rule, format="json"))

    assert job["status"] == "failed"
    assert "already has this rule" in job["outcome"]["message"]
    assert [r for r in admin.get(f"{URL}{group_id}/").json()["rules"] if r["port_min"] == 80]


def test_the_portal_follows_what_others_change_and_delete(admin, cloud, create, sync, account):
    group_id = create()
    cloud_id = admin.get(f"{URL}{group_id}/").json()["cloud_id"]
    SecurityGroup.objects.filter(pk=group_id).update(rules=[], written_at="2020-01-01T00:00Z")
    sync("security_group")
    assert len(admin.get(f"{URL}{group_id}/").json()["rules"]) == 2

    open_cloud(account, "RegionOne").network.delete_security_group(cloud_id)
    SecurityGroup.objects.filter(pk=group_id).update(written_at="2020-01-01T00:00Z")
    sync("security_group")
    assert admin.get(f"{URL}{group_id}/").json()["status"] == "active", "one listing proves nothing"
    sync("security_group")
    assert admin.get(f"{URL}{group_id}/").json()["status"] == "gone"
    admin.done(admin.delete(f"{URL}{group_id}/"))


def test_groups_of_an_own_account_are_taken_over_and_those_of_a_shared_one_are_nobodys(
    admin, cloud, account, sync
):
    cloud.call("POST", "seed", {"project": "demo", "servers": 0, "reachable": True})
    sync("security_group")
    assert admin.get(URL).json()["count"] == 0

    account.tenant = admin.member.tenant
    account.save()
    sync("security_group")

    names = {group["name"] for group in admin.get(URL).json()["results"]}
    assert {"default", "web", "ssh-office"} <= names
    default = next(g for g in admin.get(URL).json()["results"] if g["is_default"])
    refused = admin.delete(f"{URL}{default['id']}/")
    assert (refused.status_code, refused.json()["code"]) == (409, "default_group")


def test_a_failed_creation_leaves_nothing(admin, cloud):
    before = set(groups_in(cloud))
    cloud.faults({"kind": "status", "method": "POST", "path": "security-group-rules", "status": 409})

    job = admin.ended(admin.post(URL, {"name": "web", "template": "web"}, format="json"))

    assert job["status"] == "failed"
    assert set(groups_in(cloud)) - {"default"} == before - {"default"}
    assert not SecurityGroup.objects.exists()


def test_an_account_of_another_tenant_is_as_unknown_as_one_that_never_was(admin):
    other = CloudAccountFactory(tenant=TenantFactory())
    for account_id in (other.pk, 4711_4711):
        answer = admin.post(URL, {"name": "web", "account": account_id}, format="json")
        assert errors_of(answer) == {"account": [f"Cloud account not found or disabled: '{account_id}'."]}


def test_more_groups_than_the_limit_are_refused(admin, settings):
    settings.TENANT_ROWS_AT_MOST = {"security_groups": 0}

    answer = admin.post(URL, {"name": "web"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
    work()
