"""A form that is sent twice is carried out once: pressed twice, at once, or after coming back with the browser."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections
from django.test import Client

from api.models import IdempotencyKey
from cloudaccounts.models import CloudAccount, SyncLog
from deploys.models import Deployment
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory, VolumeSnapshotFactory
from tests.portal.deploying import a_service
from vms.models import VirtualMachine, VMSnapshot
from volumepool.models import Volume, VolumePool, VolumeSnapshot

pytestmark = pytest.mark.django_db(transaction=True)

KEY = re.compile(r'name="form_key" value="([0-9a-f]{32})"')


@pytest.fixture
def browser(as_role, tenant):
    # The quota is to stop nobody from making two.
    type(tenant).objects.update(quota_cpu_cores=None, quota_disk_gb=None)
    return as_role(Role.ADMIN)


def form_in(html, action):
    """The fields of a form as the browser would send them, by where it is sent to."""
    form = next(part for part in html.split("<form ")[1:] if f'action="{action}"' in part.partition(">")[0])
    (key,) = KEY.findall(form.partition("</form>")[0])[:1]
    return {"form_key": key}


def wish(vm, **fields):
    return {
        "information_system": str(vm.information_system_id),
        "name": "new-1",
        "cpu_cores": "2",
        "memory_gb": "4",
        "disk_gb": "40",
        "boot": "os:ubuntu|22.04",
        "create": "1",
        **fields,
    }


def new_vms():
    return VirtualMachine.objects.filter(name__startswith="new-").count()


def test_two_presses_make_one_vm_and_both_lead_to_it(browser, vm):
    form = wish(vm, **form_in(browser.get("/vms/new/").content.decode(), "/vms/new/"))

    first = browser.post("/vms/new/", form)
    again = browser.post("/vms/new/", form, follow=True)

    assert (new_vms(), Job.objects.count()) == (1, 1)
    assert again.redirect_chain == [(first["Location"], 302)]
    assert "Nothing was done twice" in again.content.decode()


def test_presses_at_once_make_one_vm(browser, vm):
    form = wish(vm, **form_in(browser.get("/vms/new/").content.decode(), "/vms/new/"))
    cookies, together = browser.cookies, Barrier(6)

    def press(_number):
        client = Client()
        client.cookies = cookies
        together.wait()
        try:
            return client.post("/vms/new/", form)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(press, range(6)))

    assert new_vms() == 1
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {
        (302, f"/vms/{VirtualMachine.objects.get(name='new-1').pk}/")
    }


def test_without_keys_they_would_make_one_each(browser, vm):
    """So it is the key that prevents it."""
    browser.post("/vms/new/", wish(vm))
    browser.post("/vms/new/", wish(vm))

    assert new_vms() == 2


def test_a_new_form_makes_a_new_vm(browser, vm):
    for _time in range(2):
        browser.post("/vms/new/", wish(vm, **form_in(browser.get("/vms/new/").content.decode(), "/vms/new/")))

    assert new_vms() == 2


def test_a_form_changed_after_coming_back_is_not_carried_out_and_says_so(browser, vm):
    form = wish(vm, **form_in(browser.get("/vms/new/").content.decode(), "/vms/new/"))
    browser.post("/vms/new/", form)

    again = browser.post("/vms/new/", {**form, "name": "new-2"}, follow=True)

    assert new_vms() == 1
    assert "Open the form again" in again.content.decode()


def test_what_is_wrong_may_be_put_right_under_the_same_key(browser, vm):
    form = wish(vm, **form_in(browser.get("/vms/new/").content.decode(), "/vms/new/"))

    assert browser.post("/vms/new/", {**form, "cpu_cores": "99"}).status_code == 400
    assert browser.post("/vms/new/", {**form, "dry_run": "1"}).status_code == 200
    assert not IdempotencyKey.objects.exists()
    assert browser.post("/vms/new/", form).status_code == 302
    assert new_vms() == 1


def test_a_refusal_in_a_dialog_leaves_the_key_free(browser, vm):
    snapshot = VolumeSnapshotFactory(
        information_system=vm.information_system, account=vm.account, status="creating", size_gb=5
    )
    address, form = f"/volumes/snapshots/{snapshot.pk}/copy/", {"form_key": "0" * 32}

    assert browser.post(address, form).status_code == 400
    VolumeSnapshot.objects.update(status="available")
    browser.post(address, form)
    browser.post(address, form)

    assert Volume.objects.filter(account=vm.account).count() == 1


def test_a_key_is_the_persons_own(browser, vm, tenant):
    other = Client()
    other.force_login(MembershipFactory(tenant=tenant, role=Role.ADMIN).user)
    for client in (browser, other):
        client.post("/vms/new/", wish(vm, form_key="1" * 32))

    assert new_vms() == 2


@pytest.mark.parametrize("key", ["", "x", "0" * 31, "0" * 33, "\x00" * 32, "Z" * 32])
def test_a_key_that_is_none_is_no_reason_for_an_error(browser, vm, key):
    answer = browser.post("/vms/new/", wish(vm, form_key=key))

    assert answer.status_code in {302, 400}
    assert not IdempotencyKey.objects.exists()


def test_every_form_that_makes_something_makes_it_once(browser, vm, volume, own):
    """Its page's key, sent twice."""
    type(vm.information_system).objects.update(default_account=vm.account)
    snapshot = VolumeSnapshotFactory(
        information_system=vm.information_system,
        account=vm.account,
        volume=volume,
        size_gb=5,
        status="available",
        snapshot_id="cinder-snapshot",
    )
    system = {"information_system": str(vm.information_system_id)}
    account = {
        "name": "twice",
        "provider": "openstack",
        "auth_url": "http://127.0.0.1:5000/v3",
        "credential_kind": "password",
        "access_id": "me",
        "secret": "hush",
        "sync_interval_minutes": "10",
        "active": "true",
    }
    service = a_service(vm.information_system.tenant)
    version = service.versions.get(number=2)
    upgrade = f"/services/{service.pk}/versions/{version.pk}/upgrade/"
    deployment = {"dest_version": str(service.versions.get(number=3).pk), "which": "free", "batch": "1"}
    deployment |= {"pause": "0", "max_failures": "0"}
    vm_page = f"/vms/{vm.pk}/"
    snapshot_form = f"/volumes/{volume.pk}/snapshot/"
    copy_form = f"/volumes/snapshots/{snapshot.pk}/copy/"
    cases = [
        (
            "/volumes/new/",
            "/volumes/new/",
            {**system, "size_gb": "3", "count": "2", "name": "two"},
            Volume,
            2,
        ),
        (snapshot_form, snapshot_form, {"name": "s"}, VolumeSnapshot, 1),
        (copy_form, copy_form, {"name": "copy"}, Volume, 1),
        (f"{vm_page}?tab=snapshots", f"{vm_page}snapshots/", {"name": "image"}, VMSnapshot, 1),
        (f"{vm_page}?tab=volumes", f"{vm_page}volumes/new/", {"size_gb": "4", "name": "attached"}, Volume, 1),
        ("/accounts/new/", "/accounts/new/", account, CloudAccount, 1),
        (upgrade, upgrade, deployment, Deployment, 1),
        (f"/accounts/{own.pk}/", f"/accounts/{own.pk}/sync/", {"types": ["server"]}, SyncLog, 1),
    ]
    for page, action, fields, model, made in cases:
        connection_free()
        html = browser.get(page).content.decode().replace('method="post" novalidate>', f'action="{action}">')
        html = re.sub(
            r'<form class="fields" action="[^"]*">', f'<form class="fields" action="{action}">', html
        )
        key = form_in(html, action)
        before = model.objects.count()

        first = browser.post(action, {**fields, **key})
        connection_free()
        again = browser.post(action, {**fields, **key})

        assert (action, model.objects.count() - before) == (action, made)
        assert (first.status_code, again.status_code) == (302, 302)
        assert (action, first["Location"]) == (action, again["Location"])


def connection_free():
    """Let go of what the jobs hold, or the second press would be refused as busy, key or not."""
    from tasks.models import EntityLock

    EntityLock.objects.all().delete()


def test_the_admin_adds_once_too(account):
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    html = client.get("/admin/volumepool/volumepool/add/").content.decode()
    (key,) = KEY.findall(html)
    form = {
        "type": "twice",
        "account": account.pk,
        "region": "RegionOne",
        "size_gb": "5",
        "desired": "1",
        "max_in_flight": "1",
        "max_age_days": "0",
        "enabled": "on",
        "form_key": key,
    }
    fields = dict(re.findall(r'name="([\w-]+-(?:TOTAL|INITIAL|MIN_NUM|MAX_NUM)_FORMS)" value="(\d+)"', html))

    assert (
        client.post("/admin/volumepool/volumepool/add/", {**form, **fields, "region": ""}).status_code == 200
    )
    first = client.post("/admin/volumepool/volumepool/add/", {**form, **fields})
    again = client.post("/admin/volumepool/volumepool/add/", {**form, **fields})

    assert (first.status_code, again.status_code) == (302, 302), first.content.decode()[-3000:]
    assert VolumePool.objects.count() == 1
    assert not KEY.findall(
        client.get(f"/admin/volumepool/volumepool/{VolumePool.objects.get().pk}/change/").content.decode()
    )
