"""The overview and the search: what they show of one's own tenant, and nothing of another's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.overview import MAX_POINTS
from tasks.models import Job, JobStatus
from tenants.scoping import Role
from tests.factories import (
    InvitationFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
)
from vms.models import UsageSample, VirtualMachine, VMOperationLog, VMStatus
from vms.services.usage import KEPT_DAYS, prune_usage, record_usage

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def create_failed_job(tenant, **values):
    now = timezone.now()
    columns = {"status": JobStatus.FAILED, "ended_at": now, "deadline": now} | values
    return Job.objects.create(kind="vms.start", tenant=tenant, subject="shop-1", **columns)


def test_what_needs_attention_is_named_and_leads_to_its_list(as_role, vm, tenant):
    client = as_role(Role.VIEWER)
    assert "Nothing needs attention" in text(client.get("/overview/"))
    create_failed_job(tenant)
    create_failed_job(tenant, created_at=timezone.now() - timedelta(days=3))
    create_failed_job(tenant, status=JobStatus.STUCK, ended_at=None)
    VirtualMachine.objects.filter(pk=vm.pk).update(
        status=VMStatus.ERROR, runtime_end=timezone.localdate() + timedelta(days=3)
    )

    html = text(client.get("/overview/"))

    for sentence, address in [
        ("1 task failed in the last 24 hours", "/tasks/?status=failed"),
        ("1 task needs a decision", "/tasks/?status=stuck"),
        ("1 VM is in error", "/vms/?status=error"),
        ("1 VM reaches its end date within two weeks", "/vms/?ordering=runtime_end"),
    ]:
        assert sentence in html
        assert address in html


def test_what_is_in_the_bin_needs_no_attention(as_role, vm):
    now = timezone.now()
    VirtualMachine.objects.filter(pk=vm.pk).update(
        status=VMStatus.ERROR,
        runtime_end=timezone.localdate() + timedelta(days=3),
        binned_at=now,
        bin_until=now,
    )

    assert "Nothing needs attention" in text(as_role(Role.VIEWER).get("/overview/"))


def test_another_tenants_things_are_not_counted(as_role, vm, tenant):
    create_failed_job(tenant)
    VMOperationLog.objects.create(
        tenant=tenant, vm_id=vm.pk, vm_name=vm.name, operation="start", success=True
    )
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    html = text(stranger.get("/overview/"))

    assert "Nothing needs attention" in html
    assert "shop-1" not in html


def test_an_invitation_waits(as_role):
    client = as_role(Role.VIEWER)
    member = MembershipFactory()
    client.force_login(member.user)
    InvitationFactory(username=member.user.username)

    assert "1 invitation waits for you" in text(client.get("/overview/"))


def test_a_user_without_a_tenant_comes_to_the_invitations():
    client = Client()
    client.force_login(UserFactory())

    assert client.get("/overview/")["Location"] == "/membership/"


def test_the_use_is_sampled_once_an_hour_and_pruned(as_role, vm, tenant):
    VirtualMachineFactory(information_system=vm.information_system, status=VMStatus.STOPPED, cpu_cores=3)
    now = timezone.now()
    UsageSample.objects.create(
        tenant=tenant,
        at=now - timedelta(days=KEPT_DAYS, hours=1),
        vms=1,
        cpu_cores=1,
        memory_gb=1,
        disk_gb=1,
        running=1,
        stopped=0,
        error=0,
    )

    record_usage(now)
    record_usage(now)
    prune_usage(now)

    (sample,) = UsageSample.objects.filter(tenant=tenant)
    assert (sample.vms, sample.running, sample.stopped, sample.cpu_cores) == (2, 1, 1, vm.cpu_cores + 3)
    assert (sample.at.minute, sample.at.second) == (0, 0)
    assert "No data for this period yet" not in text(as_role(Role.VIEWER).get("/overview/"))
    assert "No data for this period yet" in text(as_role(Role.VIEWER, of=TenantFactory()).get("/overview/"))


def test_the_search_finds_ones_own_and_pages(as_role, vm, volume, snapshot):
    client = as_role(Role.VIEWER)
    job = create_failed_job(vm.information_system.tenant)

    assert f'href="/vms/{vm.pk}/"' in text(client.get("/search/?q=SHOP"))
    assert "data-1" in text(client.get("/search/?q=data"))
    assert f'href="/jobs/{job.pk}/"' in text(client.get(f"/search/?q={job.pk}"))
    assert 'href="/volumes/snapshots/"' in text(client.get("/search/?q=snapshots")).partition("<main")[2]
    assert "Nothing found" in text(client.get("/search/?q=nowhere"))
    assert "at least two characters" in text(client.get("/search/?q=a"))


def test_the_search_links_to_the_list_with_the_whole_text(as_role, volume):
    volume.name = name = "a&status=x #1 é"
    volume.save()

    html = text(as_role(Role.VIEWER).get("/search/", {"q": name}))

    assert 'href="/volumes/?search=a%26status%3Dx+%231+%C3%A9"' in html


@pytest.mark.parametrize("term", ["shop", "data-1", "10.0.0", "ubuntu", "one"])
def test_the_search_finds_nothing_of_another_tenant(as_role, vm, volume, term):
    own = text(as_role(Role.ADMIN, of=TenantFactory()).get(f"/search/?q={term}")).partition("<main")[2]

    assert str(vm.pk) not in own
    assert "shop-1" not in own
    assert "data-1" not in own.replace("Search: data-1", "")


@pytest.mark.parametrize(
    "term", ["%00", "%25", "_" * 500, "'%22%3E%3Cscript%3E", "00000000-0000-0000-0000-000000000000"]
)
def test_odd_terms_do_no_harm(as_role, vm, term):
    answer = as_role(Role.VIEWER).get(f"/search/?q={term}")

    assert answer.status_code == 200
    assert "<script>" not in text(answer)


def test_a_long_history_is_drawn_with_few_points_and_ends_with_the_present(as_role, vm, tenant):
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    UsageSample.objects.bulk_create(
        UsageSample(
            tenant=tenant,
            at=now - timedelta(hours=hours),
            cpu_cores=1000 + hours,
            **dict.fromkeys(["vms", "memory_gb", "disk_gb", "running", "stopped", "error"], 1),
        )
        for hours in range(14 * 24)
    )

    answer = as_role(Role.VIEWER).get("/overview/")

    (chart,) = [chart for chart in answer.context["charts"] if chart.title == "vCPUs"]
    assert 60 <= len(chart.rows) <= MAX_POINTS
    assert chart.rows[-1][1] == "1,000"
