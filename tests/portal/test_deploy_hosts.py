"""The pages of hosts and deploy keys: each role, bad input, changed meanwhile; and that no private key is ever shown."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploys.models import DeployKey, Host
from tests.factories import TenantFactory, VirtualMachineFactory

from .deploying import operator, programs, rows_of, service, text, viewer
from .test_deploy_forms import admin, error_of, stranger, version_in

pytestmark = pytest.mark.django_db

__all__ = ["admin", "operator", "programs", "service", "stranger", "viewer"]


@pytest.fixture
def host(tenant):
    return Host.objects.create(tenant=tenant, hostname="web-1", ip="10.0.0.1")


def host_form(**changed):
    return {
        "vm": "",
        "hostname": "web-2",
        "ip": "10.0.0.2",
        "ssh_port": "22",
        "user": "deploy",
        "known_hosts": "",
    } | changed


def a_private_key():
    private = Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


# --- Hosts -------------------------------------------------------------------------------------------------


def test_hosts_are_listed_found_and_filtered(admin, viewer, stranger, service, host):
    service.instances.filter(host__hostname="app-01").update(is_maintain=True)
    service.instances.filter(host__hostname="app-02").update(locked=True)

    def listed(query=""):
        return re.findall(
            r'<a href="/hosts/[0-9a-f-]+/" title="([^"]+)"', text(viewer.get(f"/hosts/{query}"))
        )

    assert listed() == ["app-01", "app-02", "app-03", "web-1"]
    assert listed("?ordering=-hostname") == ["web-1", "app-03", "app-02", "app-01"]
    assert listed("?search=10.0.0") == ["web-1"]
    assert listed("?state=maintenance") == ["app-01"]
    assert listed("?state=deploying") == ["app-02"]
    assert listed("?state=empty") == ["web-1"]
    assert listed("?search=%00nothing") == []
    assert listed("?state=nonsense&page=99&ordering=nonsense") == ["app-01", "app-02", "app-03", "web-1"]
    assert "has no value “nonsense”" in text(viewer.get("/hosts/?state=nonsense"))
    assert "No hosts yet" in text(stranger.get("/hosts/"))
    assert "/hosts/new/" in text(admin.get("/hosts/"))
    assert "/hosts/new/" not in text(viewer.get("/hosts/"))


def test_a_host_shows_its_services(operator, viewer, stranger, service):
    host = service.instances.first().host

    html = text(operator.get(f"/hosts/{host.pk}/"))

    [row] = rows_of(html)
    assert ">cart<" in row
    assert "/maintenance/" in row
    assert "/maintenance/" not in text(viewer.get(f"/hosts/{host.pk}/"))
    assert stranger.get(f"/hosts/{host.pk}/").status_code == 404


def test_hosts_are_for_administrators_to_change(admin, operator, viewer, stranger, host, client):
    for page in ("/hosts/new/", f"/hosts/{host.pk}/edit/"):
        for browser in (operator, viewer):
            assert browser.get(page).status_code == browser.post(page, host_form()).status_code == 403
        assert client.get(page)["Location"].startswith("/login/")
    assert stranger.get(f"/hosts/{host.pk}/edit/").status_code == 404
    assert stranger.post(f"/hosts/{host.pk}/edit/", host_form()).status_code == 404
    assert stranger.post(f"/hosts/{host.pk}/remove/").status_code == 404
    assert "You need the role" in text(operator.post(f"/hosts/{host.pk}/remove/", follow=True))
    assert admin.get(f"/hosts/{host.pk}/remove/").status_code == 405
    assert Host.objects.get().hostname == "web-1"


def test_a_host_is_registered_by_hand_and_from_a_vm(admin, tenant, vm):
    by_hand = admin.post("/hosts/new/", host_form(known_hosts="ssh-ed25519 AAAA\r\n"), follow=True)
    type(vm).objects.filter(pk=vm.pk).update(ip_address="10.1.1.1")
    from_vm = admin.post("/hosts/new/", host_form(vm=vm.name, hostname="", ip=""), follow=True)

    assert "Host web-2 was registered." in text(by_hand)
    assert Host.objects.get(hostname="web-2").known_hosts == "ssh-ed25519 AAAA"
    assert "Host shop-1 was registered." in text(from_vm)
    made = Host.objects.get(hostname="shop-1")
    assert (made.vm, str(made.ip), made.tenant) == (vm, "10.1.1.1", tenant)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hostname", "", "This field is required."),
        ("hostname", "a b", "Letters, digits"),
        ("ip", "", "This field is required."),
        ("ip", "10.0.0.300", "valid IPv4 or IPv6"),
        ("ip", "169.254.169.254", "metadata"),
        ("ssh-port", "0", "greater than or equal to 1"),
        ("ssh-port", "x", "valid integer"),
        ("user", "Root!", "This is no user"),
        ("known-hosts", "x" * 10001, "no more than 10000"),
        ("vm", "nobody", "There is no VM with this name."),
    ],
)
def test_what_is_wrong_with_a_host_is_said_at_its_field(admin, tenant, field, value, words):
    answer = admin.post("/hosts/new/", host_form(**{field.replace("-", "_"): value}))

    assert answer.status_code == 400
    assert words in error_of(text(answer), field)
    assert not Host.objects.exists()


def test_a_vm_is_that_of_the_tenant_and_named_without_doubt(admin, vm):
    foreign = VirtualMachineFactory(name="foreign")
    twin = VirtualMachineFactory(name=vm.name, information_system=vm.information_system)

    assert "There is no VM" in error_of(text(admin.post("/hosts/new/", host_form(vm="foreign"))), "vm")
    assert "There is no VM" in error_of(text(admin.post("/hosts/new/", host_form(vm=str(foreign.pk)))), "vm")
    assert "Several VMs have this name." in error_of(
        text(admin.post("/hosts/new/", host_form(vm=vm.name))), "vm"
    )
    assert admin.post("/hosts/new/", host_form(vm=str(twin.pk))).status_code == 302
    assert Host.objects.get().vm == twin


def test_a_host_is_changed_unless_somebody_else_has(admin, host):
    page = f"/hosts/{host.pk}/edit/"
    form = host_form(hostname="web-1", version=version_in(text(admin.get(page))))

    assert "Changes saved." in text(admin.post(page, form, follow=True))
    outdated = admin.post(page, form | {"ip": "10.0.0.3"})
    assert outdated.status_code == 412
    assert "Saved by someone else meanwhile: 10.0.0.2." in text(outdated)
    assert str(Host.objects.get().ip) == "10.0.0.2"
    Host.objects.create(tenant=host.tenant, hostname="web-2", ip="10.0.0.9")
    taken = admin.post(page, host_form())
    assert taken.status_code == 409
    assert "has a host called" in error_of(text(taken), "hostname")


def test_a_host_with_services_is_kept(admin, service, host):
    used = service.instances.first().host

    assert "Services run on it: cart." in text(admin.post(f"/hosts/{used.pk}/remove/", follow=True))
    assert "Host web-1 was removed." in text(admin.post(f"/hosts/{host.pk}/remove/", follow=True))
    assert Host.objects.count() == 3


def test_staff_select_a_tenant_before_they_register(staff, host):
    assert ">web-1<" in text(staff.get("/hosts/"))
    for page in ("/hosts/new/", "/deploy-keys/new/"):
        assert "Select a tenant first" in text(staff.get(page, follow=True))


# --- Deploy keys -------------------------------------------------------------------------------------------


def test_a_key_is_generated_shown_and_removed(admin, viewer, operator, tenant):
    assert "No deploy key yet" in text(viewer.get("/deploy-keys/"))
    answer = admin.post("/deploy-keys/new/", {"source": "generated", "private_key": ""}, follow=True)

    key = DeployKey.objects.get(tenant=tenant)
    html = text(viewer.get("/deploy-keys/"))
    assert "The deploy key was stored." in text(answer)
    assert re.search(r"<code>ssh-ed25519 [A-Za-z0-9+/=]+</code>", html)
    assert re.search(r"<code>SHA256:[A-Za-z0-9+/]+</code>", html)
    for page in (html, text(answer), text(admin.get("/deploy-keys/new/"))):
        assert key.private_key().splitlines()[1] not in page
    assert 'id="remove-key"' not in text(operator.get("/deploy-keys/"))
    kept = admin.post("/deploy-keys/remove/", {"confirm_name": "nobody"}, follow=True)
    assert "type the tenant&#x27;s name" in text(kept)
    assert DeployKey.objects.exists()
    gone = admin.post("/deploy-keys/remove/", {"confirm_name": tenant.name}, follow=True)
    assert "The deploy key was removed." in text(gone)
    assert not DeployKey.objects.exists()


def test_a_key_of_ones_own_is_stored_and_replaced_only_knowingly(admin, tenant):
    own, other = a_private_key(), a_private_key()

    admin.post("/deploy-keys/new/", {"source": "own", "private_key": own})
    assert DeployKey.objects.get().private_key() == own
    refused = admin.post("/deploy-keys/new/", {"source": "own", "private_key": other})
    assert refused.status_code == 400
    assert "Confirm that the current key is replaced." in error_of(text(refused), "replace")
    assert DeployKey.objects.get().private_key() == own
    admin.post("/deploy-keys/new/", {"source": "own", "private_key": other, "replace": "true"})
    assert DeployKey.objects.get().private_key() == other


@pytest.mark.parametrize(
    ("source", "private_key", "field", "words"),
    [
        ("own", "", "private-key", "may not be blank"),
        ("own", "hush-hush", "private-key", "no private key in OpenSSH"),
        ("own", "x" * 20_001, "private-key", "no more than 20000"),
        ("generated", "hush-hush", "private-key", "Leave the private key empty"),
        ("", "", "source", "Select a value."),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_repeating_it(
    admin, tenant, source, private_key, field, words
):
    answer = admin.post("/deploy-keys/new/", {"source": source, "private_key": private_key})

    html = text(answer)
    assert answer.status_code == 400
    assert words in error_of(html, field)
    assert "hush-hush" not in html
    assert "x" * 100 not in html
    assert not DeployKey.objects.exists()


def test_keys_are_for_administrators_of_their_tenant(
    admin, operator, viewer, stranger, staff, tenant, client
):
    admin.post("/deploy-keys/new/", {"source": "generated", "private_key": ""})

    for browser in (operator, viewer):
        assert browser.get("/deploy-keys/new/").status_code == 403
        assert browser.post("/deploy-keys/new/", {"source": "generated"}).status_code == 403
        refused = browser.post("/deploy-keys/remove/", {"confirm_name": tenant.name}, follow=True)
        assert "You need the role" in text(refused)
    assert "ssh-ed25519 A" not in text(stranger.get("/deploy-keys/"))
    assert "ssh-ed25519 A" in text(staff.get("/deploy-keys/"))
    assert ">Acme<" in text(staff.get("/deploy-keys/?search=acme"))
    assert "No results for these filters" in text(staff.get("/deploy-keys/?search=nobody"))
    stranger.post("/deploy-keys/remove/", {"confirm_name": tenant.name})
    assert client.get("/deploy-keys/")["Location"].startswith("/login/")
    assert DeployKey.objects.count() == 1


def test_a_key_that_cannot_be_read_is_told(viewer, tenant):
    DeployKey.objects.create(tenant=tenant, encrypted_private_key="nonsense")

    assert "Unreadable" in text(viewer.get("/deploy-keys/"))
    assert TenantFactory().pk
