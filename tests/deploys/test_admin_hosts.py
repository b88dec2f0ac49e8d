"""Hosts, keys, instances and deployments in the admin, as an administrator enters, changes and removes them."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry

from deploys.models import DeployKey, Host, MicroServiceInstance
from tests.factories import (
    HostFactory,
    InstanceFactory,
    ServiceFactory,
    TenantFactory,
    VirtualMachineFactory,
)
from tests.isolation.deploy_cases import build_key_request

from .test_admin import (
    administrator,
    columns,
    errors_of,
    is_being_deployed,
    send,
    staff_who_may,
    url,
)

__all__ = ["administrator"]

pytestmark = pytest.mark.django_db
HOST = {"hostname": "web-1", "ip": "10.1.2.3", "ssh_port": "22", "user": "deploy"}


# --- Hosts ---------------------------------------------------------------------------------------------------


def test_a_host_is_added_and_changed(administrator):
    vm = VirtualMachineFactory()
    tenant = vm.information_system.tenant

    added = send(administrator, url(Host, "add"), **HOST, tenant=str(tenant.pk), vm=str(vm.pk))

    assert added.status_code == 302, errors_of(added)
    host = Host.objects.get()
    assert (str(host), host.tenant, host.vm, host.version) == ("web-1:10.1.2.3", tenant, vm, 1)
    changed = send(administrator, url(Host, "change", host.pk), ssh_port="2222", vm="")
    assert changed.status_code == 302, errors_of(changed)
    host.refresh_from_db()
    assert (host.ssh_port, host.vm, host.version) == (2222, None, 2)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"ip": "127.0.0.1"}, "ip"),
        ({"ip": "169.254.169.254"}, "ip"),
        ({"ip": "::1"}, "ip"),
        ({"ip": "::ffff:127.0.0.1"}, "ip"),
        ({"ip": "fe80::1%eth0"}, "ip"),
        ({"ip": "0.0.0.0"}, "ip"),
        ({"ip": "web.example.org"}, "ip"),
        ({"hostname": "web 1"}, "hostname"),
        ({"user": "root; id"}, "user"),
        ({"ssh_port": "65536"}, "ssh_port"),
    ],
    ids=str,
)
def test_a_host_where_the_portal_may_not_go_is_refused_by_field(administrator, settings, typed, field):
    settings.ALLOW_LOCAL_HOSTS = False

    answer = administrator.post(url(Host, "add"), HOST | {"tenant": str(TenantFactory().pk)} | typed)

    assert list(errors_of(answer)) == [field]
    assert not Host.objects.exists()


def test_a_host_does_not_move_to_a_forbidden_address(administrator, settings):
    settings.ALLOW_LOCAL_HOSTS = False
    host = HostFactory()

    answer = send(administrator, url(Host, "change", host.pk), ip="127.0.0.1")

    assert "ALLOW_LOCAL_HOSTS" in errors_of(answer)["ip"][0]
    assert columns(host)["ip"] == host.ip


def test_a_tenant_has_one_host_of_a_name(administrator):
    taken = HostFactory()
    host = HostFactory(tenant=taken.tenant)

    added = administrator.post(
        url(Host, "add"), HOST | {"tenant": str(taken.tenant.pk), "hostname": taken.hostname}
    )
    changed = send(administrator, url(Host, "change", host.pk), hostname=taken.hostname)

    for answer in (added, changed):
        assert errors_of(answer) == {
            "hostname": [f"The tenant has a host called '{taken.hostname}' already."]
        }
    assert columns(host)["hostname"] == host.hostname
    elsewhere = url(Host, "change", HostFactory().pk)
    assert send(administrator, elsewhere, hostname=taken.hostname).status_code == 302


def test_a_vm_of_another_tenant_is_refused(administrator):
    host, vm = HostFactory(), VirtualMachineFactory()

    added = administrator.post(url(Host, "add"), HOST | {"tenant": str(TenantFactory().pk), "vm": str(vm.pk)})
    changed = send(administrator, url(Host, "change", host.pk), vm=str(vm.pk))

    assert list(errors_of(added)) == list(errors_of(changed)) == ["vm"]
    assert columns(host)["vm_id"] is None


def test_a_host_stays_with_its_tenant_and_as_it_is_while_something_is_deployed_to_it(administrator):
    host = is_being_deployed(ServiceFactory()).host
    page = url(Host, "change", host.pk)
    before = columns(host)

    busy = send(administrator, page, ip="10.9.9.9")

    assert "deployment is in progress" in errors_of(busy)["__all__"][0]
    assert columns(host) == before
    MicroServiceInstance.objects.update(locked=False, locked_by=None)
    assert send(administrator, page, ip="10.9.9.9", tenant=str(TenantFactory().pk)).status_code == 302
    assert columns(host)["ip"] == "10.9.9.9"
    assert columns(host)["tenant_id"] == host.tenant_id


def test_a_host_that_services_run_on_is_kept(administrator):
    instance = InstanceFactory()
    page = url(Host, "delete", instance.host.pk)

    kept = administrator.post(page, {"post": "yes"})

    assert kept.status_code == 200
    assert str(instance) in "".join(kept.context["protected"])
    assert not LogEntry.objects.exists()
    instance.delete()
    assert administrator.post(page, {"post": "yes"}).status_code == 302
    assert not Host.objects.exists()


# --- Keys ----------------------------------------------------------------------------------------------------


def a_private_key():
    return build_key_request(None)["private_key"]


def test_a_key_is_set_and_replaced_and_never_shown(administrator):
    tenant, first, second = TenantFactory(), a_private_key(), a_private_key()
    as_browsers_send_it = first.replace("\n", "\r\n")

    added = send(
        administrator, url(DeployKey, "add"), tenant=str(tenant.pk), new_private_key=as_browsers_send_it
    )

    assert added.status_code == 302, errors_of(added)
    key = DeployKey.objects.get()
    assert key.private_key().strip() == first.strip()
    page = url(DeployKey, "change", key.pk)
    assert send(administrator, page, new_private_key=second).status_code == 302
    key.refresh_from_db()
    assert key.private_key().strip() == second.strip()
    assert key.updated_by.is_superuser
    history = url(DeployKey, "history", key.pk)
    shown = "".join(administrator.get(one).content.decode() for one in (page, history))
    shown += "".join(f"{one.object_repr}{one.change_message}" for one in LogEntry.objects.all())
    assert_not_in(second, shown)
    assert_not_in(first, shown)


def assert_not_in(key, text):
    assert "PRIVATE KEY" not in text
    assert not any(line in text for line in key.splitlines()[1:3])


def test_a_key_that_cannot_be_used_is_refused_and_not_sent_back(administrator):
    key = a_private_key()
    wrong = key.replace("OPENSSH", "OPENSHH")
    typed = {"tenant": str(TenantFactory().pk), "new_private_key": wrong}

    answer = administrator.post(url(DeployKey, "add"), typed)

    assert list(errors_of(answer)) == ["new_private_key"]
    assert_not_in(wrong, answer.content.decode())
    assert not DeployKey.objects.exists()


def test_a_tenant_has_one_key(administrator):
    tenant = TenantFactory()
    typed = {"tenant": str(tenant.pk), "new_private_key": a_private_key()}
    assert administrator.post(url(DeployKey, "add"), typed).status_code == 302
    before = columns(DeployKey.objects.get())

    answer = administrator.post(url(DeployKey, "add"), typed | {"new_private_key": a_private_key()})

    assert list(errors_of(answer)) == ["tenant"]
    assert columns(DeployKey.objects.get()) == before


@pytest.mark.parametrize("readable", [True, False])
def test_who_may_only_look_does_not_see_the_key(readable):
    text = a_private_key()
    key = DeployKey(tenant=TenantFactory(), encrypted_private_key="unreadable")
    if readable:
        key.set_private_key(text)
    key.save()
    client = staff_who_may("view_deploykey")

    shown = client.get(url(DeployKey, "change", key.pk))

    assert shown.status_code == 200
    assert_not_in(text, shown.content.decode())
    assert (
        client.post(url(DeployKey, "change", key.pk), {"new_private_key": a_private_key()}).status_code == 403
    )
