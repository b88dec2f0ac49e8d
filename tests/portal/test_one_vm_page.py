"""A VM's own page: its facts, its forms and what is wrong with them, its console, and what is left when it is gone."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks.models import EntityLock, Job
from tenants.scoping import Role
from tests.factories import (
    TenantFactory,
)
from vms.models import Resize, VirtualMachine, VMOperationLog, VMStatus
from volumepool.models import Volume

pytestmark = pytest.mark.django_db

NEVER = uuid.uuid4()
HTMX = {"HX-Request": "true"}


def text(answer):
    return answer.content.decode()


def test_its_page_has_all_facts(as_role, vm):
    VirtualMachine.objects.filter(pk=vm.pk).update(
        fault="no room",
        metadata={"items": "1"},
        addresses=[{"ip": "10.0.0.9", "network": "n", "mac": "m", "kind": "k"}],
    )

    html = text(as_role(Role.VIEWER).get(f"/vms/{vm.pk}/"))

    for fact in ("no room", "items=1", "10.0.0.9", vm.openstack_id, "small", "one", "RegionOne", "stale"):
        assert fact in html


def test_the_live_part_ends_with_the_job(as_role, vm):
    client = as_role(Role.OPERATOR)
    client.post(f"/vms/{vm.pk}/ask/", {"action": "stop", "page": "detail"})
    job = Job.objects.get()

    part = client.get(f"/vms/{vm.pk}/live/?job={job.pk}", headers=HTMX)
    assert f"?job={job.pk}" in text(part)
    assert "<html" not in text(part)
    EntityLock.objects.all().delete()
    assert client.get(f"/vms/{vm.pk}/live/?job={job.pk}", headers=HTMX)["HX-Refresh"] == "true"
    # A removed VM's page is read anew too, and then says that the VM is gone.
    assert client.get(f"/vms/{NEVER}/live/?job=x", headers=HTMX)["HX-Refresh"] == "true"


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
    assert '<details class="form" open>' in text(answer)
    assert not Job.objects.exists()


def test_a_resize_that_waits_has_its_buttons_and_its_hour(as_role, vm):
    hour = timezone.now() + timedelta(hours=3)
    Resize.objects.create(
        vm=vm, flavor_id="large", flavor_name="large", cpu_cores=4, memory_gb=8, disk_gb=80, confirms_at=hour
    )

    html = text(as_role(Role.OPERATOR).get(f"/vms/{vm.pk}/"))

    assert 'value="confirm_resize"' in html
    assert f"It confirms itself at {hour:%Y-%m-%d %H:%M} UTC." in html
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


def test_the_console_is_asked_for_and_looked_for_only_so_long(as_role, vm):
    client = as_role(Role.OPERATOR)
    asked = text(client.post(f"/vms/{vm.pk}/console/ask/", {"reading": "log"}, headers=HTMX))
    job = Job.objects.get()

    assert f"/vms/{vm.pk}/console/?job={job.pk}&amp;poll=1" in asked
    part = f"/vms/{vm.pk}/console/?job={job.pk}"
    assert "poll=6" in text(client.get(f"{part}&poll=5"))
    late = text(client.get(f"{part}&poll=19"))
    assert "poll=" not in late
    assert f"/jobs/{job.pk}/" in late
    assert "poll=" not in text(client.get(f"{part}&poll=nonsense"))
    assert "look=" not in text(client.get(f"/vms/{vm.pk}/console/?job=nonsense&look=1"))
    assert client.get(part)["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert "You need the role" in text(as_role(Role.VIEWER).get(part))
    assert as_role(Role.ADMIN, of=TenantFactory()).get(part).status_code == 404


def test_a_screen_of_what_does_not_run_is_refused(as_role, vm):
    VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED)

    answer = as_role(Role.OPERATOR).post(f"/vms/{vm.pk}/console/ask/", {"reading": "url"}, headers=HTMX)

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

    assert "This VM is gone." in html
    for left in ("shop-1", "why", "no room", f"/jobs/{job.pk}/"):
        assert left in html
    assert "why" in text(client.get(f"/vms/{vm.pk}/log/"))
    stranger = as_role(Role.ADMIN, of=TenantFactory())
    assert stranger.get(f"/vms/{vm.pk}/").status_code == 404
    assert stranger.get(f"/vms/{vm.pk}/log/").status_code == 404


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

    html = text(client.get(f"/vms/{vm.pk}/"))

    assert html.count("&lt;") == 20
    assert f"/vms/{vm.pk}/log/" in html
    assert text(client.get(f"/vms/{vm.pk}/log/")).count("&lt;") == 25
