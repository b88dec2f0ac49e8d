"""The pages of tasks: the list, one task, and who may cancel it or decide about it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from tasks.models import Job, JobStatus
from tenants.scoping import Role
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def create_job(tenant, **values):
    columns = {"kind": "vms.start", "subject": "shop-1", "deadline": timezone.now()} | values
    if columns.get("status") in {JobStatus.FAILED, JobStatus.SUCCEEDED}:
        columns["ended_at"] = timezone.now()
    return Job.objects.create(tenant=tenant, **columns)


def test_the_list_is_filtered_and_names_who_started_what(as_role, tenant):
    client = as_role(Role.VIEWER)
    create_job(
        tenant, subject="db-1", status=JobStatus.FAILED, outcome_code="x", outcome_message="No <room>."
    )
    create_job(tenant, subject="web-1", kind="vms.stop")

    everything = text(client.get("/tasks/"))
    assert "Start VM: db-1" in everything
    assert "Stop VM: web-1" in everything
    assert "No &lt;room&gt;." in everything
    assert "web-1" not in text(client.get("/tasks/?status=failed"))
    assert "db-1" not in text(client.get("/tasks/?status=open"))
    assert "db-1" not in text(client.get("/tasks/?kind=vms.stop"))
    assert "No results" in text(client.get("/tasks/?by=me"))
    assert "web-1" not in text(client.get("/tasks/?search=DB"))
    refused = text(client.get("/tasks/?kind=vms.dance"))
    assert "has no value “vms.dance”" in refused
    assert "web-1" in refused


def test_another_tenants_tasks_are_not_there(as_role, tenant):
    job = create_job(tenant)
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    assert "shop-1" not in text(stranger.get("/tasks/"))
    for address in (f"/jobs/{job.pk}/", f"/jobs/{uuid4()}/"):
        assert stranger.get(address).status_code == 404
    stranger.post(f"/jobs/{job.pk}/cancel/")
    job.refresh_from_db()
    assert job.cancel_requested_at is None


@pytest.mark.parametrize("role", list(Role))
def test_a_task_is_cancelled_by_who_may(as_role, tenant, role):
    job = create_job(tenant)
    client = as_role(role)

    shown = f"/jobs/{job.pk}/cancel/" in text(client.get(f"/jobs/{job.pk}/"))
    answer = client.post(f"/jobs/{job.pk}/cancel/", headers={"HX-Request": "true"})

    job.refresh_from_db()
    assert shown is role.covers(Role.OPERATOR)
    assert (job.status == JobStatus.CANCELLED or job.cancel_requested_at is not None) is shown
    assert ("You need the role" in text(answer)) is not shown


def test_staff_decide_on_the_page_and_a_reason_is_needed(staff, as_role, tenant):
    job = create_job(tenant, status=JobStatus.STUCK, outcome_code="stuck")
    address = f"/jobs/{job.pk}/decide/"
    assert "/decide/" not in text(as_role(Role.ADMIN).get(f"/jobs/{job.pk}/"))
    assert as_role(Role.ADMIN).post(address, {"decision": "end", "reason": "x"}).status_code == 403

    assert 'value="resume"' in text(staff.get(f"/jobs/{job.pk}/"))
    assert "Enter a reason" in text(staff.post(address, {"decision": "end"}, follow=True))
    assert "does not allow" in text(staff.post(address, {"decision": "dance", "reason": "x"}, follow=True))
    assert "Recorded in the task log" in text(
        staff.post(address, {"decision": "end", "reason": "By hand."}, follow=True)
    )
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
