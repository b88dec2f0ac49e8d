"""The pages of security groups, floating IPs and server groups, and the network tab of a VM."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from cloudaccounts.models import CatalogueGrant
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    VirtualMachineFactory,
    create_catalogue,
)
from tests.network_factories import (
    FloatingIpFactory,
    SecurityGroupFactory,
    ServerGroupFactory,
    create_external_network,
    create_interface,
)

pytestmark = pytest.mark.django_db
PAGES = ["/security-groups/", "/floating-ips/", "/server-groups/"]
OPEN_SSH = {
    "id": str(uuid.uuid4()), "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
    "port_min": 22, "port_max": 22, "remote_cidr": None, "remote_group": None, "description": "",
}  # fmt: skip


@pytest.fixture
def admin():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def account(admin):
    account = CloudAccountFactory(tenant=admin.tenant)
    create_catalogue(account)
    return account


def browse(member):
    client = Client()
    client.force_login(member.user)
    return client


def colleague(member, role):
    return MembershipFactory(tenant=member.tenant, role=role)


@pytest.mark.parametrize("page", PAGES)
def test_a_list_says_what_it_is_before_there_is_something(admin, page):
    text = browse(admin).get(page).content.decode()

    assert "yet" in text
    assert browse(admin).get(f"{page}?search=x").content.decode().count("<tr") == 0
    assert "class=" in browse(admin).get(f"{page}?status=moon").content.decode()


def test_lists_show_ones_own_alone_with_a_fixed_number_of_queries(
    admin, account, django_assert_max_num_queries
):
    stranger = MembershipFactory()
    for tenant in (admin.tenant, stranger.tenant):
        name = "ours" if tenant == admin.tenant else "theirs"
        SecurityGroupFactory.create_batch(5, tenant=tenant, account=account, name=name)
        FloatingIpFactory.create_batch(5, tenant=tenant, account=account, description=name)
        ServerGroupFactory.create_batch(5, information_system__tenant=tenant, account=account, name=name)

    client = browse(admin)
    for page in PAGES:
        client.get(page)
        with django_assert_max_num_queries(20):
            text = client.get(page).content.decode()
        assert "ours" in text
        assert "theirs" not in text


@pytest.mark.parametrize("action", ["", "edit/", "copy/", "remove/"])
def test_a_group_of_others_is_not_found(admin, action):
    theirs = SecurityGroupFactory()

    assert browse(admin).get(f"/security-groups/{theirs.pk}/{action}").status_code == 404
    assert browse(admin).get(f"/security-groups/{uuid.uuid4()}/{action}").status_code == 404


def test_forms_about_things_of_others_are_not_found(admin):
    group, address = SecurityGroupFactory(rules=[OPEN_SSH]), FloatingIpFactory()
    server_group = ServerGroupFactory()
    client = browse(admin)

    for path in (
        f"/security-groups/{group.pk}/rules/",
        f"/security-groups/{group.pk}/template/",
        f"/security-groups/{group.pk}/rules/{OPEN_SSH['id']}/remove/",
        f"/floating-ips/{address.pk}/release/",
        f"/floating-ips/{address.pk}/attach/",
        f"/floating-ips/{address.pk}/detach/",
        f"/server-groups/{server_group.pk}/remove/",
    ):
        assert client.post(path).status_code == 404, path
    assert not Job.objects.exists()


def test_a_viewer_sees_a_group_and_has_no_forms(admin, account):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account, rules=[OPEN_SSH])
    client = browse(colleague(admin, Role.VIEWER))

    text = client.get(f"/security-groups/{group.pk}/").content.decode()

    assert "Everybody on the internet can try to sign in by SSH" in text
    assert "add-rule" not in text
    for path in ("edit/", "remove/", "copy/", "rules/"):
        assert client.post(f"/security-groups/{group.pk}/{path}").status_code == 403
    assert client.get("/security-groups/new/").status_code == 403
    assert client.get("/floating-ips/take/").status_code == 403
    assert client.get("/server-groups/new/").status_code == 403


def test_a_group_is_created_with_a_template(admin, account):
    page = browse(admin).post(
        "/security-groups/new/", {"name": "office", "template": "ssh", "cidr": "192.0.2.0/24", "group": ""}
    )

    group = SecurityGroup.objects.get()
    assert page.url == f"/security-groups/{group.pk}/"
    assert Job.objects.get().params["rules"][0]["remote_cidr"] == "192.0.2.0/24"


def test_a_refused_group_keeps_what_was_typed(admin, account):
    page = browse(admin).post("/security-groups/new/", {"name": "default", "template": "ssh", "cidr": "here"})

    text = page.content.decode()
    assert page.status_code == 400
    assert 'value="default"' in text
    assert 'value="here"' in text
    assert "no address range" in text
    assert not SecurityGroup.objects.exists()


def test_a_rule_is_added_and_its_warning_is_said(admin, account):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account)
    client = browse(admin)

    page = client.post(
        f"/security-groups/{group.pk}/rules/",
        {"direction": "ingress", "protocol": "tcp", "port_min": "22", "port_max": "", "remote_cidr": ""},
        follow=True,
    )

    assert "Everybody on the internet" in page.content.decode()
    assert Job.objects.get().kind == "networks.add_rules"


@pytest.mark.parametrize(
    ("form", "fields", "word"),
    [
        ("rules", {"direction": "ingress", "protocol": "tcp", "port_min": "90", "port_max": "80"}, "below"),
        ("rules", {"direction": "ingress", "protocol": "tcp", "port_min": "99999"}, "65535"),
        ("rules", {"direction": "ingress", "protocol": "icmp", "icmp_code": "4"}, "Enter the ICMP type"),
        ("rules", {"direction": "ingress", "remote_cidr": "office"}, "no address range"),
        ("rules", {"direction": "ingress", "remote_group": "x"}, "UUID"),
        ("template", {"template": "ssh"}, "required"),
        ("template", {"template": "moon"}, "moon"),
        ("template", {}, "choice"),
    ],
)
def test_a_bad_rule_is_shown_at_its_field_with_what_was_typed(admin, account, form, fields, word):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account)

    page = browse(admin).post(f"/security-groups/{group.pk}/{form}/", fields)

    text = page.content.decode()
    assert page.status_code == 400
    assert word in text
    assert "field-error" in text
    assert not Job.objects.exists()


def test_a_group_is_deleted_once_its_name_was_typed(admin, account):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account, name="web")
    client = browse(admin)

    refused = client.post(f"/security-groups/{group.pk}/remove/", {"confirm_name": "wbe"})
    done = client.post(f"/security-groups/{group.pk}/remove/", {"confirm_name": "web"})

    assert refused.status_code == 400
    assert done.status_code == 302
    assert Job.objects.get().kind == "networks.remove_security_group"


def test_an_address_is_taken_attached_and_given_back(admin, account):
    create_external_network(account)
    CatalogueGrant.objects.all().delete()
    client = browse(admin)
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant, account=account, status="running")

    form = client.get("/floating-ips/take/").content.decode()
    network = account.resources.filter(attributes__is_external=True).last()
    client.post("/floating-ips/take/", {"network": network.cloud_id, "account": account.pk})
    row = FloatingIp.objects.get()
    Job.objects.all().delete()
    FloatingIp.objects.update(status="active", cloud_id=str(uuid.uuid4()), address="203.0.113.9")
    choice = client.get(f"/floating-ips/{row.pk}/attach/").content.decode()
    none = client.post(f"/floating-ips/{row.pk}/attach/", {"vm": ""})
    attached = client.post(f"/floating-ips/{row.pk}/attach/", {"vm": str(vm.pk)})

    assert network.cloud_id in form
    assert vm.name in choice
    assert none.status_code == 400
    assert attached.status_code == 302
    assert Job.objects.get().kind == "vms.attach_floating_ip"
    Job.objects.all().delete()
    assert client.post(f"/floating-ips/{row.pk}/release/").status_code == 302
    assert Job.objects.get().kind == "networks.release_floating_ip"


def test_what_is_not_attached_is_said_with_its_age(admin, account):
    FloatingIpFactory(tenant=admin.tenant, account=account)
    FloatingIpFactory(tenant=admin.tenant, account=account, port_id="p", unattached_since=None)

    text = browse(admin).get("/floating-ips/").content.decode()

    assert text.count("Not attached</span>") == 1
    assert "since" in text


def test_a_server_group_is_created_with_a_policy_that_is_offered(admin, account):
    system = InformationSystemFactory(tenant=admin.tenant, default_account=account)
    shared = CloudAccountFactory()
    create_catalogue(shared)
    body = {"information_system": str(system.pk), "name": "spread", "policy": "affinity"}
    client = browse(admin)

    refused = client.post("/server-groups/new/", {**body, "account": shared.pk})
    client.post("/server-groups/new/", {**body, "account": account.pk})

    assert "is not offered in this cloud account" in refused.content.decode()
    assert ServerGroup.objects.get().policy == "affinity"


def test_the_network_tab_says_who_can_reach_the_vm(admin, account):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account, name="web", rules=[OPEN_SSH])
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant, account=account, status="running")
    port = create_interface(vm, group)
    FloatingIpFactory(
        tenant=admin.tenant, account=account, port_id=port.cloud_id, address="203.0.113.9", vm=vm
    )

    text = browse(admin).get(f"/vms/{vm.pk}/?tab=network").content.decode()

    assert "Reachable from outside at 203.0.113.9." in text
    assert "TCP 22 from every IPv4 address (security group web)." in text
    assert "try to sign in by SSH" in text
    assert f"/vms/{vm.pk}/interfaces/{port.cloud_id}/detach/" in text
    viewer = browse(colleague(admin, Role.VIEWER)).get(f"/vms/{vm.pk}/?tab=network").content.decode()
    assert "Reachable from outside" in viewer
    assert "attach-interface" not in viewer


def test_the_forms_of_the_network_tab(admin, account):
    group = SecurityGroupFactory(tenant=admin.tenant, account=account)
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant, account=account, status="running")
    port = create_interface(vm)
    client = browse(admin)

    none = client.post(f"/vms/{vm.pk}/interfaces/", {"network": "", "fixed_ip": "10.0.0.1"})
    unknown = client.post(f"/vms/{vm.pk}/interfaces/", {"network": "moon"})
    theirs = client.post(f"/vms/{vm.pk}/groups/", {"security_groups": [str(SecurityGroupFactory().pk)]})
    no_port = client.post(f"/vms/{vm.pk}/interfaces/{uuid.uuid4()}/detach/")

    assert [one.status_code for one in (none, unknown, theirs, no_port)] == [400, 400, 400, 404]
    assert 'value="10.0.0.1"' in none.content.decode()
    assert not Job.objects.exists()
    client.post(f"/vms/{vm.pk}/groups/", {"security_groups": [str(group.pk)], "port": port.cloud_id})
    assert Job.objects.get().params["security_group_ids"] == [group.cloud_id]


def test_the_form_for_a_new_vm_offers_networks_groups_and_addresses(admin, account):
    system = InformationSystemFactory(tenant=admin.tenant, default_account=account)
    group = SecurityGroupFactory(tenant=admin.tenant, account=account, name="web")
    spread = ServerGroupFactory(information_system=system, account=account)
    client = browse(admin)

    form = client.get("/vms/new/").content.decode()
    internal = account.resources.get(type="network", attributes__is_external=False)
    external = account.resources.filter(type="network", attributes__is_external=True).first()
    body = {
        "information_system": str(system.pk), "name": "shop-1", "boot": "os:ubuntu|22.04", "network": internal.cloud_id,
        "security_groups": [str(group.pk)], "server_group": str(spread.pk), "floating_network": external.cloud_id,
        "cpu_cores": "2", "memory_gb": "4", "disk_gb": "40", "data_center_type": "production", "count": "1",
    }  # fmt: skip
    refused = client.post("/vms/new/", {**body, "fixed_ip": "192.168.9.9"})
    first = client.post("/vms/new/", {**body, "network": "", "fixed_ip": "10.20.0.9"})
    done = client.post("/vms/new/", body)

    assert all(text in form for text in ("web", spread.name, external.name))
    assert "outside the subnets" in refused.content.decode()
    assert "Select the first network, too." in first.content.decode()
    assert done.status_code == 302, done.content.decode()
    params = Job.objects.get().params
    assert params["security_group_ids"] == [group.cloud_id]
    assert params["server_group_id"] == spread.cloud_id
    assert params["floating_ip_id"] == str(FloatingIp.objects.get().pk)
