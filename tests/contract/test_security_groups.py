"""Security groups and their rules, made and changed by our calls."""

import dataclasses
import uuid

import pytest

from openstack_client import (
    CloudAlreadyExistsError,
    CloudChangedError,
    CloudDefaultGroupError,
    CloudInUseError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    FixedIp,
    InvalidCloudRequestError,
)
from tests.listings import read_all_pages

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def add_rule(cloud):
    def add(group, **more):
        return cloud.network.create_security_group_rule(group.id, **{"direction": "ingress", **more})

    return add


def test_new_group_lets_everything_out_and_nothing_in(cloud, make_group, tag):
    made = make_group(description="Web servers")
    assert (made.name, made.description) == (tag, "Web servers")
    assert sorted((rule.direction, rule.ethertype, rule.protocol) for rule in made.rules) == [
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    ]
    assert {rule.security_group_id for rule in made.rules} == {made.id}
    assert cloud.network.get_security_group(made.id) == made


def test_group_of_a_dead_caller_is_found_by_its_marker(cloud, make_group):
    marker = f"portal:{uuid.uuid4()}"
    assert cloud.network.find_security_groups_by_marker(marker) == []
    made = make_group(description="Web [of Anna]", marker=marker)
    assert (made.description, made.marker) == ("Web [of Anna]", marker)
    assert cloud.network.find_security_groups_by_marker(marker) == [made]
    # A part of it is another marker.
    assert cloud.network.find_security_groups_by_marker(marker[:-1]) == []
    bare = make_group(marker=f"{marker}.2")
    assert (bare.description, bare.marker) == ("", f"{marker}.2")


def test_rename_and_describe(cloud, make_group, tag):
    made = make_group(marker="portal:1")
    for _twice in range(2):
        changed = update(cloud, made.id, name=f"{tag}-2", description="new", marker="portal:2")
        assert (changed.name, changed.description, changed.marker) == (f"{tag}-2", "new", "portal:2")
    assert cloud.network.get_security_group(made.id) == changed


def update(cloud, group_id, name, description="", marker=None):
    return cloud.network.update_security_group(group_id, name=name, description=description, marker=marker)


def test_default_group_stays(cloud, make_group):
    found = read_all_pages(cloud.network.security_group_pages())
    mine = next(one for one in found if one.name == "default")
    assert len({rule.remote_group_id for rule in mine.rules if rule.direction == "ingress"}) == 1
    # A real Neutron says first that it is in use.
    with pytest.raises((CloudDefaultGroupError, CloudInUseError)):
        cloud.network.delete_security_group(mine.id)
    for refused in (
        lambda: update(cloud, mine.id, "other"),
        lambda: cloud.network.create_security_group(name="default"),
        lambda: update(cloud, make_group().id, "default"),
    ):
        with pytest.raises(CloudDefaultGroupError) as caught:
            refused()
        assert caught.value.status_code == 409


def test_group_in_use_is_not_deleted(cloud, make_group, server_resources, tag):
    made = make_group()
    port = cloud.network.create_port(server_resources[2].id, name=tag, security_group_ids=[made.id])
    try:
        with pytest.raises(CloudInUseError, match="in use"):
            cloud.network.delete_security_group(made.id)
    finally:
        cloud.network.delete_port(port.id)
    cloud.network.delete_security_group(made.id)
    # Once more is as good as once.
    cloud.network.delete_security_group(made.id)
    with pytest.raises(CloudNotFoundError):
        cloud.network.get_security_group(made.id)
    with pytest.raises(CloudNotFoundError):
        update(cloud, made.id, "x")


RULES = {
    "a port": (
        {"protocol": "tcp", "port_min": 22, "remote_ip_prefix": "192.0.2.7/24"},
        {"protocol": "tcp", "port_min": 22, "port_max": 22, "remote_ip_prefix": "192.0.2.0/24"},
    ),
    "one address": ({"protocol": "udp", "port_min": 53, "port_max": 60, "remote_ip_prefix": "192.0.2.7"},
                    {"protocol": "udp", "port_min": 53, "port_max": 60, "remote_ip_prefix": "192.0.2.7/32"}),
    "a number that has a name": ({"protocol": 6}, {"protocol": "tcp"}),
    "a number as text": ({"protocol": "132", "port_min": 1}, {"protocol": "sctp", "port_min": 1, "port_max": 1}),
    "a number without a name": ({"protocol": 47}, {"protocol": "47"}),
    "a name": ({"protocol": "ESP"}, {"protocol": "esp"}),
    "ping": ({"protocol": "icmp", "icmp_type": 8, "icmp_code": 0}, {"protocol": "icmp", "icmp_type": 8, "icmp_code": 0}),
    "ping of IPv6": ({"ethertype": "IPv6", "protocol": "icmp", "icmp_type": 128},
                     {"ethertype": "IPv6", "protocol": "ipv6-icmp", "icmp_type": 128}),
    "all of IPv6": ({"ethertype": "IPv6", "remote_ip_prefix": "2001:DB8::1/32"},
                    {"ethertype": "IPv6", "remote_ip_prefix": "2001:db8::/32"}),
    "egress": ({"direction": "egress", "protocol": "tcp", "port_min": 443}, {"direction": "egress", "protocol": "tcp", "port_min": 443, "port_max": 443}),
}  # fmt: skip


@pytest.mark.parametrize("kind", RULES)
def test_rule(cloud, make_group, add_rule, kind):
    group = make_group()
    given, expected = RULES[kind]
    made = add_rule(group, **given, description="why", marker="portal:7")
    found = {
        field: getattr(made, field)
        for field in ("direction", "ethertype", "protocol", "port_min", "port_max", "icmp_type", "icmp_code", "remote_ip_prefix",
                      "remote_group_id", "description", "marker", "security_group_id")
    }  # fmt: skip
    assert found == {
        **dict.fromkeys(found), "direction": "ingress", "ethertype": "IPv4", "description": "why", "marker": "portal:7",
        "security_group_id": group.id, **expected,
    }  # fmt: skip
    assert made in cloud.network.get_security_group(group.id).rules
    assert made in cloud.network.list_security_group_rules(group.id)
    with pytest.raises(CloudAlreadyExistsError) as caught:
        add_rule(group, **given, description="other words")
    assert (caught.value.status_code, caught.value.existing_id) == (409, made.id)
    cloud.network.delete_security_group_rule(made.id)
    cloud.network.delete_security_group_rule(made.id)
    assert cloud.network.list_security_group_rules(group.id) == list(group.rules)


def test_anywhere_is_equal_to_no_range(cloud, make_group, add_rule):
    group = make_group()
    made = add_rule(group, protocol="tcp", port_min=80)
    with pytest.raises(CloudAlreadyExistsError) as caught:
        add_rule(group, protocol="tcp", port_min=80, remote_ip_prefix="0.0.0.0/0")
    assert caught.value.existing_id == made.id
    # What is narrower, or for another address family, is another rule.
    add_rule(group, protocol="tcp", port_min=80, remote_ip_prefix="10.0.0.0/8")
    add_rule(group, protocol="tcp", port_min=80, ethertype="IPv6", remote_ip_prefix="::/0")
    assert cloud.network.get_security_group(group.id).rule_count == 5


def test_rule_that_names_a_group_goes_with_it(cloud, make_group, add_rule, tag):
    web, database = make_group(), make_group(name=f"{tag}-db")
    made = add_rule(database, protocol="tcp", port_min=5432, remote_group_id=web.id)
    itself = add_rule(database, remote_group_id=database.id)
    assert (made.remote_group_id, made.remote_ip_prefix) == (web.id, None)
    cloud.network.delete_security_group(web.id)
    rules = cloud.network.list_security_group_rules(database.id)
    assert itself in rules and made not in rules and len(rules) == 3


def test_rule_of_or_for_a_group_that_is_missing(cloud, make_group, add_rule):
    group = make_group()
    for refused in (
        lambda: add_rule(dataclasses.replace(group, id=NOBODY)),
        lambda: add_rule(group, remote_group_id=NOBODY),
    ):
        with pytest.raises(CloudNotFoundError, match="does not exist"):
            refused()
    assert cloud.network.list_security_group_rules(NOBODY) == []
    assert cloud.network.get_security_group(group.id).rules == group.rules


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"direction": "up"}, "not a valid direction"),
        ({"ethertype": "IPv5"}, "not a valid address family"),
        ({"protocol": "foo"}, "not a valid protocol"),
        ({"protocol": 256}, "not a valid protocol"),
        ({"protocol": True}, "not a valid protocol"),
        ({"port_min": 22}, "has no ports"),
        ({"protocol": "gre", "port_min": 22}, "has no ports"),
        ({"protocol": "tcp", "port_max": 22}, "needs its first port"),
        ({"protocol": "tcp", "port_min": 30, "port_max": 20}, "turned round"),
        ({"protocol": "tcp", "port_min": 0}, "is not a valid port"),
        ({"protocol": "udp", "port_min": 1, "port_max": 65536}, "is not a valid port"),
        ({"protocol": "icmp", "port_min": 8}, "no ports"),
        ({"protocol": "tcp", "icmp_type": 8}, "Only a rule for ICMP"),
        ({"protocol": "icmp", "icmp_code": 0}, "needs a type"),
        ({"protocol": "icmp", "icmp_type": 256}, "not a valid ICMP type"),
        ({"protocol": "icmpv6"}, "ICMPv6 is a protocol of IPv6"),
        ({"remote_ip_prefix": "::/0"}, "the rule is for IPv4"),
        ({"remote_ip_prefix": "10.0.0.0/8", "ethertype": "IPv6"}, "the rule is for IPv6"),
        ({"remote_ip_prefix": "somewhere"}, "not a range of addresses"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": NOBODY}, "not both"),
        ({"remote_group_id": "../x"}, "not a valid id"),
        ({"description": "x" * 256}, "at most 255"),
        ({"description": "x" * 250, "marker": "portal:12345"}, "at most 240"),
        ({"description": "a\x00b"}, "control characters"),
        ({"marker": "no colon"}, "not a valid marker"),
    ],
)
def test_rule_that_cannot_be_is_not_sent(cloud, add_rule, given, words):
    group = dataclasses.make_dataclass("Group", ["id"])(NOBODY)
    with pytest.raises(InvalidCloudRequestError, match=words) as caught:
        add_rule(group, **given)
    assert caught.value.status_code is None


def test_groups_of_a_port_are_replaced_in_one_request(cloud, make_group, server_resources, tag):
    first, second = make_group(), make_group(name=f"{tag}-2")
    port = cloud.network.create_port(server_resources[2].id, name=tag)
    try:
        (default,) = port.security_group_ids
        assert cloud.network.get_security_group(default).name == "default"
        changed = cloud.network.set_port_security_groups(
            port.id, [first.id, second.id, first.id], revision=port.revision
        )
        assert set(changed.security_group_ids) == {first.id, second.id}
        # Whoever read the port before that does not undo it.
        with pytest.raises(CloudChangedError) as caught:
            cloud.network.set_port_security_groups(port.id, [default], revision=port.revision)
        assert (caught.value.status_code, caught.value.code) == (412, "changed_meanwhile")
        now = cloud.network.get_port(port.id)
        assert set(now.security_group_ids) == {first.id, second.id}
        with pytest.raises(CloudNotFoundError, match=NOBODY):
            cloud.network.set_port_security_groups(port.id, [NOBODY], revision=now.revision)
        none = cloud.network.set_port_security_groups(port.id, [], revision=now.revision)
        assert none.security_group_ids == ()
    finally:
        cloud.network.delete_port(port.id)
    with pytest.raises(CloudNotFoundError):
        cloud.network.set_port_security_groups(port.id, [], revision=None)


def test_quotas_of_groups_and_rules(cloud, make_group, add_rule, limit_network):
    def used():
        found = {quota.name: quota for quota in cloud.network.list_quotas()}
        return found["security_group"].in_use, found["security_group_rule"].in_use

    # The group "default" is made by then.
    group = make_group()
    groups, rules = used()
    add_rule(group, protocol="tcp")
    assert used() == (groups, rules + 1)
    limit_network(security_group=0)
    with pytest.raises(CloudQuotaExceededError, match="security_group"):
        make_group()
    limit_network(security_group=1, security_group_rule=1)
    # A new group has two rules.
    with pytest.raises(CloudQuotaExceededError, match="security_group_rule"):
        make_group()
    add_rule(group, protocol="udp")
    with pytest.raises(CloudQuotaExceededError, match="security_group_rule"):
        add_rule(group, protocol="icmp")
    assert used() == (groups, rules + 2)


def test_network_without_port_security(cloud, sdk, make_group, tag):
    network = sdk.network.create_network(name=tag, is_port_security_enabled=False)
    sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr="192.168.79.0/28")
    group = make_group()
    try:
        found = read_all_pages(cloud.network.network_pages())
        assert [one.is_port_security_enabled for one in found if one.id == network.id] == [False]
        with pytest.raises(InvalidCloudRequestError) as caught:
            cloud.network.create_port(network.id, security_group_ids=[group.id])
        assert caught.value.code == "port_security_disabled"
        port = cloud.network.create_port(network.id, name=tag, fixed_ips=[FixedIp("", "192.168.79.9")])
        assert (port.security_group_ids, port.is_port_security_enabled) == ((), False)
        with pytest.raises(InvalidCloudRequestError) as caught:
            cloud.network.set_port_security_groups(port.id, [group.id], revision=port.revision)
        assert caught.value.code == "port_security_disabled"
        cloud.network.delete_port(port.id)
    finally:
        sdk.network.delete_network(network.id)
