"""A VM's own page: its facts, its forms and what is wrong with them, its console, and what is left when it is gone."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks.models import EntityLock, Job
from tenants.models import User
from tenants.scoping import Role
from tests.factories import (
    TenantFactory,
)
from vms.models import ConsoleReading, Resize, VirtualMachine, VMOperationLog, VMStatus
from volumepool.models import Volume

pytestmark = pytest.mark.django_db

NEVER = uuid.uuid4()
HTMX = {"HX-Request": "true"}
PANEL = {**HTMX, "X-Panel": "vm"}


def text(answer):
    return answer.content.decode()


def test_its_page_has_all_facts(as_role, vm):
    VirtualMachine.objects.filter(pk=vm.pk).update(
        fault="no room",
        metadata={"items": "1"},
        addresses=[{"ip": "10.0.0.9", "network": "n", "mac": "m", "kind": "k"}],
    )

    client = as_role(Role.VIEWER)
    html = text(client.get(f"/vms/{vm.pk}/")) + text(client.get(f"/vms/{vm.pk}/?tab=network"))

    for fact in (
        "no room",
        "items=1",
        "10.0.0.9",
        vm.openstack_id,
        "small",
        "one",
        "RegionOne",
        "Out of date",
    ):
        assert fact in html


def test_the_panel_follows_the_job_and_is_sent_only_when_it_has_changed(as_role, vm):
    client = as_role(Role.OPERATOR)
    client.post(f"/vms/{vm.pk}/ask/", {"action": "stop", "page": "detail"})
    job = Job.objects.get()

    panel = client.get(f"/vms/{vm.pk}/", headers=PANEL)
    assert f"/jobs/{job.pk}/" in text(panel)
    assert "data-busy" in text(panel)
    assert "<html" not in text(panel)
    same = client.get(f"/vms/{vm.pk}/", headers={**PANEL, "If-None-Match": panel["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    EntityLock.objects.all().delete()
    after = client.get(f"/vms/{vm.pk}/", headers={**PANEL, "If-None-Match": panel["ETag"]})
    assert after.status_code == 200
    assert "data-busy" not in text(after)
    # The page of a removed VM says so itself; its panel is not found, so the page is loaded again.
    assert client.get(f"/vms/{NEVER}/", headers=PANEL).status_code == 404


def test_a_change_is_refused_when_somebody_else_was_faster(as_role, vm):
    client = as_role(Role.OPERATOR)
    form = {"name": "shop-1", "description": "mine", "version": vm.version, "metadata": "a=b"}
    assert (
        client.post(f"/vms/{vm.pk}/change/", {**form, "description": "theirs", "metadata": ""}).status_code
        == 302
    )

    answer = client.post(f"/vms/{vm.pk}/change/", form)

    assert answer.status_code == 412
    assert "Modified since you read it" in text(answer)
    assert ">mine</textarea>" in text(answer)
    vm.refresh_from_db()
    assert (vm.description, vm.version) == ("theirs", 2)
    assert client.post(f"/vms/{vm.pk}/change/", {**form, "version": 2}).status_code == 302
    assert Job.objects.get().params["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("path", "form", "told"),
    [
        ("change/", {"name": ""}, "This field may not be blank."),
        ("change/", {"name": "a", "metadata": "x=1\nnonsense"}, "Line 2 has no &#x27;=&#x27;"),
        ("change/", {"name": "a", "metadata": "x=1\nx=2"}, "Line 2 repeats"),
        ("change/", {"name": "a", "metadata": "portal_x=1"}, "are the portal&#x27;s own"),
        (
            "change/",
            {"name": "a", "runtime_start": "2030-02-01", "runtime_end": "2030-01-01"},
            "The end date is before",
        ),
        ("resize/", {"cpu_cores": "2", "memory_gb": "4"}, "The VM already has"),
        ("resize/", {"cpu_cores": "64", "memory_gb": "4"}, "No flavor offers"),
        ("resize/", {"cpu_cores": "x"}, "A valid integer is required."),
        ("resize/", {"flavor": "nothing"}, "Flavor not found."),
        ("remove/", {"name": "shop"}, "Type &#x27;shop-1&#x27; to confirm."),
        ("remove/", {"name": "shop-1"}, "Stop it first, or select Force delete"),
        ("snapshots/", {"name": ""}, "This field may not be blank."),
        ("volumes/", {}, "Select a volume."),
        ("volumes/", {"volume": str(NEVER)}, "Volume not found"),
        ("volumes/new/", {}, "Enter a size."),
        ("volumes/new/", {"size_gb": "5", "type": "gold"}, "Unknown volume type"),
        ("volumes/new/", {"size_gb": "2000"}, "Quota of Acme exceeded"),
    ],
)
def test_what_is_wrong_with_a_form_is_told_in_it(as_role, vm, path, form, told):
    answer = as_role(Role.ADMIN).post(f"/vms/{vm.pk}/{path}", form)

    assert answer.status_code in {400, 409}
    assert told in text(answer)
    tab = {"volumes/": "volumes", "volumes/new/": "volumes", "snapshots/": "snapshots"}.get(path, "settings")
    assert f'href="?tab={tab}" aria-current="page"' in text(answer)
    assert not Job.objects.exists()


def test_a_resize_that_waits_has_its_buttons_and_its_hour(as_role, vm):
    hour = timezone.now() + timedelta(hours=3)
    Resize.objects.create(
        vm=vm, flavor_id="large", flavor_name="large", cpu_cores=4, memory_gb=8, disk_gb=80, confirms_at=hour
    )

    html = text(as_role(Role.OPERATOR).get(f"/vms/{vm.pk}/"))

    assert 'value="confirm_resize"' in html
    assert f"Confirmed automatically at {hour:%Y-%m-%d %H:%M} UTC." in html
    assert 'value="confirm_resize"' not in text(as_role(Role.VIEWER).get(f"/vms/{vm.pk}/"))
    as_role(Role.OPERATOR).post(f"/vms/{vm.pk}/ask/", {"action": "revert_resize", "page": "detail"})
    assert Job.objects.get().kind == "vms.revert_resize"


def test_a_volume_is_taken_off(as_role, vm, volume):
    url = f"/vms/{vm.pk}/volumes/{volume.pk}/detach/"
    assert as_role(Role.OPERATOR).post(url).status_code == 404
    Volume.objects.filter(pk=volume.pk).update(vm=vm, status="in-use")

    as_role(Role.VIEWER).post(url)
    assert not Job.objects.exists()
    removal = as_role(Role.ADMIN).post(f"/volumes/{volume.pk}/remove/", {"confirm_name": volume.name})
    assert removal.status_code == 409
    assert not Job.objects.exists()
    as_role(Role.OPERATOR).post(url)
    assert Job.objects.get().kind == "vms.detach_volume"
    assert as_role(Role.OPERATOR, of=TenantFactory()).post(url).status_code == 404


def test_the_console_is_requested_and_followed_until_the_job_has_read_it(as_role, vm):
    client = as_role(Role.OPERATOR)
    answer = client.post(f"/vms/{vm.pk}/console/ask/", {"reading": "log"})
    job = Job.objects.get()

    assert answer["Location"] == f"/vms/{vm.pk}/?tab=console&job={job.pk}"
    following = text(client.get(answer["Location"]))
    assert "Connecting…" in following
    assert "data-busy" in following
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=60))
    late = text(client.get(answer["Location"]))
    assert "The cloud is slow to respond." in late
    assert f"/jobs/{job.pk}/" in late
    assert "Connecting…" not in text(client.get(f"/vms/{vm.pk}/?tab=console&job=nonsense"))
    assert client.get(answer["Location"])["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    viewer = as_role(Role.VIEWER)
    assert "You need the Operator role" in text(viewer.get(answer["Location"]))
    assert as_role(Role.ADMIN, of=TenantFactory()).get(answer["Location"]).status_code == 404


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://console.example.org:6080/vnc?token=1", "https://console.example.org:6080"),
        ("http://[2001:db8::1]/vnc", "http://[2001:db8::1]"),
        ("javascript:alert(1)", ""),
        ("https://a.example; script-src *", ""),
        ("https://user@a.example/", ""),
        ("ssh://a.example", ""),
    ],
)
def test_a_console_is_framed_by_its_own_answer_alone(as_role, vm, url, origin):
    client = as_role(Role.OPERATOR)
    reading = ConsoleReading(vm=vm, user=User.objects.get(pk=client.session["_auth_user_id"]), kind="url")
    reading.set_text(url)
    reading.save()

    answer = client.get(f"/vms/{vm.pk}/?tab=console")
    policy = answer["Content-Security-Policy"]

    assert (f"frame-src {origin}" in policy) is bool(origin)
    assert ("<iframe" in text(answer)) is bool(origin)
    assert "script-src *" not in policy
    assert "frame-src" not in client.get(f"/vms/{vm.pk}/")["Content-Security-Policy"]


def test_a_console_of_a_stopped_vm_is_refused(as_role, vm):
    VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED)

    answer = as_role(Role.OPERATOR).post(f"/vms/{vm.pk}/console/ask/", {"reading": "url"}, follow=True)

    assert "Only a running VM has a console." in text(answer)


def test_a_vm_that_is_gone_leaves_its_log_and_its_last_job(as_role, vm):
    client = as_role(Role.ADMIN)
    client.post(f"/vms/{vm.pk}/remove/", {"name": "shop-1", "force": "true"})
    job = Job.objects.get()
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        status="failed", ended_at=now, outcome_code="x", outcome_message="no room"
    )
    EntityLock.objects.all().delete()
    VMOperationLog.objects.create(
        tenant=vm.information_system.tenant,
        vm_id=vm.pk,
        vm_name="shop-1",
        operation="create",
        success=False,
        detail="why",
    )
    assert "no room" in text(client.get(f"/vms/{vm.pk}/"))
    VirtualMachine.objects.filter(pk=vm.pk).delete()

    html = text(client.get(f"/vms/{vm.pk}/"))

    assert "This VM was deleted." in html
    for left in ("shop-1", "why", "no room", f"/jobs/{job.pk}/"):
        assert left in html
    assert "why" in text(client.get(f"/vms/{vm.pk}/log/"))
    stranger = as_role(Role.ADMIN, of=TenantFactory())
    assert stranger.get(f"/vms/{vm.pk}/").status_code == 404
    assert stranger.get(f"/vms/{vm.pk}/log/").status_code == 404


def test_a_failed_creation_can_be_tried_again_with_its_values(as_role, vm):
    client = as_role(Role.ADMIN)
    form = {"information_system": str(vm.information_system_id), "name": "again-1", "boot": "os:ubuntu|22.04"}
    client.post("/vms/new/", {**form, "cpu_cores": "4", "memory_gb": "8", "disk_gb": "80"})
    new = VirtualMachine.objects.get(name="again-1")
    pk = new.pk
    Job.objects.filter(entity_id=str(pk)).update(
        status="failed", ended_at=timezone.now(), outcome_code="x", outcome_message="No valid host."
    )
    EntityLock.objects.all().delete()
    VMOperationLog.objects.create(
        tenant=vm.information_system.tenant,
        vm_id=pk,
        vm_name="again-1",
        operation="create",
        success=False,
    )
    new.delete()

    page = text(client.get(f"/vms/{pk}/"))
    assert "No valid host." in page
    address = re.search(r'href="(/vms/new/[^"]*)"', page)[1].replace("&amp;", "&")
    filled = text(client.get(address))

    assert 'value="again-1"' in filled
    assert re.search(r'<option value="os:ubuntu\|22.04" selected>', filled)
    assert re.search(r'value="large" checked', filled)
    assert "/vms/new/" not in text(as_role(Role.OPERATOR).get(f"/vms/{pk}/")).partition("<main")[2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("?operation=stop", 1),
        ("?success=false", 1),
        ("?search=SHOP", 2),
        ("?search=oscar", 1),
        ("?operation=dance", 2),
    ],
)
def test_the_audit_log_has_the_operations_of_ones_tenant(as_role, vm, query, found):
    tenant = vm.information_system.tenant
    for operation, operator, success in [("start", "oscar", True), ("stop", "", False)]:
        VMOperationLog.objects.create(
            tenant=tenant,
            vm_id=vm.pk,
            vm_name="shop-1",
            operation=operation,
            operator=operator,
            success=success,
        )

    assert text(as_role(Role.VIEWER).get(f"/activity/{query}")).count('<tr id="entry-') == found
    assert "shop-1" not in text(as_role(Role.ADMIN, of=TenantFactory()).get(f"/activity/{query}"))


def test_the_log_shows_the_last_and_leads_to_all(as_role, vm):
    for number in range(25):
        VMOperationLog.objects.create(
            tenant=vm.information_system.tenant,
            vm_id=vm.pk,
            vm_name="x",
            operation="start",
            success=True,
            detail=f"<{number}>",
        )
    client = as_role(Role.VIEWER)

    html = text(client.get(f"/vms/{vm.pk}/?tab=activity"))

    assert html.count("&lt;") == 20
    assert f"/vms/{vm.pk}/log/" in html
    assert text(client.get(f"/vms/{vm.pk}/log/")).count("&lt;") == 25
