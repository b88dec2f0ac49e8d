"""For every operation of the API: who may, what it needs, and what it answers. The matrix test walks them all."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.models import ApiToken
from cloudaccounts.models import SyncLog
from tasks import engine
from tasks.models import EntityLock, Job
from tenants.models import Membership
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    InformationSystemFactory,
    InvitationFactory,
    MembershipFactory,
    SpareVolumeFactory,
    UserFactory,
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
    create_catalogue,
)
from vms.commands.power import POWER_COMMANDS
from vms.models import SyncRun

from .case import Case, Ids
from .deploy_cases import DEPLOY_CASES


def a_vm(member: Membership) -> Ids:
    return {"id": VirtualMachineFactory(information_system__tenant=member.tenant).pk}


def a_system(member: Membership) -> Ids:
    return {"id": InformationSystemFactory(tenant=member.tenant).pk}


def a_stocked_system(member: Membership) -> Ids:
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    return {"id": InformationSystemFactory(tenant=member.tenant, default_account=account).pk}


def a_wish(member: Membership) -> dict[str, Any]:
    size = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}
    system = str(a_stocked_system(member)["id"])
    return {"information_system": system, "name": "shop-1", "os_type": "ubuntu", **size}


def a_running_vm(member: Membership) -> Ids:
    """One in an account with a catalogue."""
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    vm = VirtualMachineFactory(
        information_system__tenant=member.tenant, account=account, status="running", disk_gb=10
    )
    return {"id": vm.pk}


def a_volume(member: Membership) -> Ids:
    return {"id": VolumeFactory(information_system__tenant=member.tenant).pk}


def a_volume_snapshot(member: Membership) -> Ids:
    return {"id": VolumeSnapshotFactory(information_system__tenant=member.tenant).pk}


def a_pool(member: Membership) -> Ids:
    return {"id": SpareVolumeFactory(pool__account__tenant=member.tenant).pool_id}


def a_wish_for_volumes(member: Membership) -> dict[str, Any]:
    system = InformationSystemFactory(tenant=member.tenant)
    pool = VolumePoolFactory(account=CloudAccountFactory(tenant=member.tenant))
    return {"information_system": str(system.pk), "type": pool.type, "count": 2}


def an_attached_volume(member: Membership) -> Ids:
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    volume = VolumeFactory(
        information_system=vm.information_system, account=vm.account, vm=vm, status="in-use"
    )
    return {"id": vm.pk, "volume_pk": volume.pk}


def a_snapshot(member: Membership) -> Ids:
    return {"id": VMSnapshotFactory(information_system__tenant=member.tenant).pk}


ACCOUNT = {
    "name": "own",
    "auth_url": "http://127.0.0.1:9/v3",
    "credential_kind": "password",
    "access_id": "demo",
    "secret": "demo",
}


def an_account(member: Membership) -> Ids:
    return {"id": CloudAccountFactory(tenant=member.tenant).pk}


def a_resource(member: Membership) -> Ids:
    return {"id": CloudResourceFactory(account__tenant=member.tenant).pk}


def a_sync_log(member: Membership) -> Ids:
    return {"id": SyncLog.objects.create(account_id=an_account(member)["id"], type="flavor").pk}


def a_log_of_losses(member: Membership) -> Ids:
    ids = a_sync_log(member)
    SyncLog.objects.filter(pk=ids["id"]).update(state="failed", held_back=7, ended_at=Now())
    return ids


def a_run(member: Membership) -> Ids:
    run = SyncRun.objects.create(account=CloudAccountFactory(tenant=member.tenant), region="RegionOne")
    return {"id": run.pk}


def a_tenant(member: Membership) -> Ids:
    return {"id": member.tenant.pk}


def a_tenant_with_another_administrator(member: Membership) -> Ids:
    MembershipFactory(tenant=member.tenant, role=Role.ADMIN)
    return {"id": member.tenant.pk}


def another_member(member: Membership) -> Ids:
    other = MembershipFactory(tenant=member.tenant, role=Role.VIEWER)
    return {"id": member.tenant.pk, "member_pk": other.pk}


def an_invitation_of_the_tenant(member: Membership) -> Ids:
    return {"id": member.tenant.pk, "invitation_pk": InvitationFactory(tenant=member.tenant).pk}


def an_invitation_of_the_member(member: Membership) -> Ids:
    return {"id": InvitationFactory(username=member.user.username).pk}


def a_job(member: Membership) -> Ids:
    from django.db import transaction

    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    command = POWER_COMMANDS["start"](str(vm.pk))
    with transaction.atomic():
        return {"id": engine.submit(command, tenant=member.tenant, user=member.user).job.pk}


def a_stuck_job(member: Membership) -> Ids:
    ids = a_job(member)
    Job.objects.filter(pk=ids["id"]).update(status="stuck", outcome_code="stuck")
    return ids


def an_errored_job(member: Membership) -> Ids:
    ids = a_job(member)
    EntityLock.objects.filter(job_id=ids["id"]).delete()
    Job.objects.filter(pk=ids["id"]).update(status="errored", ended_at=Now())
    return ids


def a_schedule(member: Membership) -> Ids:
    interval, _created = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    return {"id": PeriodicTask.objects.create(name="tasks.sweep", task="tasks.sweep", interval=interval).pk}


def a_token(member: Membership) -> Ids:
    token, _secret = ApiToken.objects.create(user=member.user, name="mine", expiry=None)
    return {"id": token.id}


def because(member: Membership) -> dict[str, Any]:
    return {"reason": "The host is back."}


CASES: dict[tuple[str, str], Case] = {
    ("POST", "/api/v1/auth/login"): Case(
        200,
        None,
        body=lambda member: {"username": member.user.username, "password": "demo"},
        bad_body={},
        public=True,
    ),
    ("POST", "/api/v1/auth/logout"): Case(204, None),
    ("GET", "/api/v1/auth/me"): Case(200, None),
    ("PATCH", "/api/v1/auth/me"): Case(
        200, None, body=lambda member: {"time_zone": "Asia/Shanghai"}, bad_body={"time_zone": "Moon/Base"}
    ),
    ("GET", "/api/v1/auth/tokens/"): Case(200, None),
    ("POST", "/api/v1/auth/tokens/"): Case(
        201, None, body=lambda member: {"name": "ci"}, bad_body={"nme": "ci"}
    ),
    ("DELETE", "/api/v1/auth/tokens/{id}/"): Case(204, None, ids=a_token),
    ("GET", "/api/v1/tenants/"): Case(200),
    ("GET", "/api/v1/tenants/{id}/"): Case(200, ids=a_tenant),
    ("PATCH", "/api/v1/tenants/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=a_tenant,
        body=lambda member: {"time_zone": "Europe/Berlin"},
        bad_body={"time_zone": "Moon/Base"},
    ),
    ("GET", "/api/v1/tenants/{id}/usage/"): Case(200, ids=a_tenant),
    ("GET", "/api/v1/tenants/{id}/members/"): Case(200, ids=a_tenant),
    ("GET", "/api/v1/tenants/{id}/invitations/"): Case(200, Role.ADMIN, ids=a_tenant),
    ("POST", "/api/v1/tenants/{id}/invitations/"): Case(
        201,
        Role.ADMIN,
        ids=a_tenant,
        body=lambda member: {"username": "ann", "role": "viewer"},
        bad_body={"username": "", "role": "king"},
    ),
    ("DELETE", "/api/v1/tenants/{id}/invitations/{invitation_pk}/"): Case(
        204, Role.ADMIN, ids=an_invitation_of_the_tenant
    ),
    ("POST", "/api/v1/tenants/{id}/leave/"): Case(204, None, ids=a_tenant_with_another_administrator),
    ("GET", "/api/v1/invitations/"): Case(200, None),
    ("POST", "/api/v1/invitations/{id}/accept/"): Case(200, None, ids=an_invitation_of_the_member),
    ("POST", "/api/v1/invitations/{id}/decline/"): Case(204, None, ids=an_invitation_of_the_member),
    ("POST", "/api/v1/tenants/{id}/members/"): Case(
        201,
        None,
        staff=True,
        ids=a_tenant,
        body=lambda member: {"username": UserFactory().username, "role": "viewer"},
        bad_body={"username": "nobody at all", "role": "king"},
    ),
    ("PATCH", "/api/v1/tenants/{id}/members/{member_pk}/"): Case(
        200,
        Role.ADMIN,
        ids=another_member,
        body=lambda member: {"role": "operator"},
        bad_body={"role": "king"},
    ),
    ("DELETE", "/api/v1/tenants/{id}/members/{member_pk}/"): Case(204, Role.ADMIN, ids=another_member),
    ("GET", "/api/v1/information-systems/"): Case(200),
    ("POST", "/api/v1/information-systems/"): Case(
        201, Role.ADMIN, body=lambda member: {"name": "Shop"}, bad_body={"name": "", "colour": "red"}
    ),
    ("GET", "/api/v1/information-systems/{id}/"): Case(200, ids=a_system),
    ("PATCH", "/api/v1/information-systems/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=a_system,
        body=lambda member: {"owner": "Ann"},
        bad_body={"default_account": 4711},
    ),
    ("DELETE", "/api/v1/information-systems/{id}/"): Case(204, Role.ADMIN, ids=a_system),
    ("GET", "/api/v1/vms/"): Case(200),
    ("POST", "/api/v1/vms/"): Case(
        202, Role.ADMIN, body=a_wish, bad_body={"name": "", "cpu_cores": 0, "colour": "red"}
    ),
    ("GET", "/api/v1/vms/options/"): Case(200),
    ("GET", "/api/v1/vms/export/"): Case(200),
    ("GET", "/api/v1/vms/sync/"): Case(200),
    ("POST", "/api/v1/vms/sync/"): Case(
        202, Role.OPERATOR, body=lambda member: {}, bad_body={"account": "the first"}
    ),
    ("GET", "/api/v1/vms/snapshots/"): Case(200),
    ("DELETE", "/api/v1/vms/snapshots/{id}/"): Case(202, Role.OPERATOR, ids=a_snapshot),
    ("GET", "/api/v1/vms/{id}/"): Case(200, ids=a_vm),
    ("PATCH", "/api/v1/vms/{id}/"): Case(
        200,
        Role.OPERATOR,
        ids=a_vm,
        body=lambda member: {"description": "The first."},
        bad_body={"status": "running"},
    ),
    ("DELETE", "/api/v1/vms/{id}/"): Case(202, Role.ADMIN, ids=a_vm),
    ("POST", "/api/v1/vms/{id}/resize/"): Case(
        202,
        Role.ADMIN,
        ids=a_running_vm,
        body=lambda member: {"cpu_cores": 4, "memory_gb": 8},
        bad_body={"cpu_cores": 0},
    ),
    ("GET", "/api/v1/vms/{id}/console/"): Case(200, Role.OPERATOR, ids=a_vm),
    ("POST", "/api/v1/vms/{id}/console/"): Case(
        202, Role.OPERATOR, ids=a_vm, body=lambda member: {"reading": "log"}, bad_body={"lines": 0}
    ),
    ("GET", "/api/v1/vms/{id}/snapshots/"): Case(200, ids=a_vm),
    ("POST", "/api/v1/vms/{id}/snapshots/"): Case(
        202, Role.OPERATOR, ids=a_vm, body=lambda member: {"name": "before"}, bad_body={"name": ""}
    ),
    ("GET", "/api/v1/vms/{id}/volumes/"): Case(200, ids=a_vm),
    ("POST", "/api/v1/vms/{id}/volumes/"): Case(
        202, Role.ADMIN, ids=a_vm, body=lambda member: {"size_gb": 5}, bad_body={"size_gb": 0}
    ),
    ("DELETE", "/api/v1/vms/{id}/volumes/{volume_pk}/"): Case(202, Role.OPERATOR, ids=an_attached_volume),
    ("GET", "/api/v1/volumes/"): Case(200),
    ("POST", "/api/v1/volumes/"): Case(
        202, Role.ADMIN, body=a_wish_for_volumes, bad_body={"type": "debian", "count": 0, "colour": "red"}
    ),
    ("GET", "/api/v1/volume-pools/"): Case(200, None, staff=True),
    ("GET", "/api/v1/volume-pools/{id}/"): Case(200, None, staff=True, tenants_own=False, ids=a_pool),
    ("GET", "/api/v1/volume-pools/{id}/history/"): Case(200, None, staff=True, tenants_own=False, ids=a_pool),
    ("GET", "/api/v1/volume-pools/{id}/spares/"): Case(200, None, staff=True, tenants_own=False, ids=a_pool),
    ("POST", "/api/v1/volume-pools/{id}/backfill/"): Case(
        202, None, staff=True, tenants_own=False, ids=a_pool
    ),
    ("POST", "/api/v1/volume-pools/{id}/reconcile/"): Case(
        202, None, staff=True, tenants_own=False, ids=a_pool
    ),
    ("GET", "/api/v1/volumes/options/"): Case(200),
    ("GET", "/api/v1/volumes/snapshots/"): Case(200),
    ("GET", "/api/v1/volumes/snapshots/{id}/"): Case(200, ids=a_volume_snapshot),
    ("DELETE", "/api/v1/volumes/snapshots/{id}/"): Case(202, Role.OPERATOR, ids=a_volume_snapshot),
    ("GET", "/api/v1/volumes/{id}/"): Case(200, ids=a_volume),
    ("PATCH", "/api/v1/volumes/{id}/"): Case(
        202, Role.OPERATOR, ids=a_volume, body=lambda member: {"name": "data"}, bad_body={"name": ""}
    ),
    ("POST", "/api/v1/volumes/{id}/actions/"): Case(
        202,
        Role.OPERATOR,
        ids=a_volume,
        body=lambda member: {"action": "snapshot", "name": "before"},
        bad_body={"action": "snapshot"},
    ),
    ("DELETE", "/api/v1/volumes/{id}/"): Case(202, Role.ADMIN, ids=a_volume),
    ("GET", "/api/v1/resource-types/"): Case(200, None),
    ("GET", "/api/v1/cloud-accounts/"): Case(200),
    ("POST", "/api/v1/cloud-accounts/"): Case(
        202,
        Role.ADMIN,
        body=lambda member: ACCOUNT,
        bad_body={"name": "", "auth_url": "ftp://x", "sync_interval_minutes": -1, "colour": "red"},
    ),
    ("GET", "/api/v1/cloud-accounts/{id}/"): Case(200, ids=an_account),
    ("PATCH", "/api/v1/cloud-accounts/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=an_account,
        body=lambda member: {"sync_interval_minutes": 30},
        bad_body={"resource_types": ["unicorn"]},
    ),
    ("DELETE", "/api/v1/cloud-accounts/{id}/"): Case(202, Role.ADMIN, ids=an_account),
    ("POST", "/api/v1/cloud-accounts/{id}/verify/"): Case(202, Role.ADMIN, ids=an_account),
    ("POST", "/api/v1/cloud-accounts/{id}/sync/"): Case(
        202,
        Role.OPERATOR,
        ids=an_account,
        body=lambda member: {"types": ["flavor"]},
        bad_body={"types": "all of them"},
    ),
    ("GET", "/api/v1/cloud-resources/"): Case(200),
    ("GET", "/api/v1/cloud-resources/export/"): Case(200),
    ("GET", "/api/v1/cloud-resources/{id}/"): Case(200, ids=a_resource),
    ("GET", "/api/v1/cloud-resources/{id}/changes/"): Case(200, ids=a_resource),
    ("GET", "/api/v1/cloud-resources/{id}/topology/"): Case(200, ids=a_resource),
    ("GET", "/api/v1/sync-logs/"): Case(200),
    ("GET", "/api/v1/sync-logs/{id}/"): Case(200, ids=a_sync_log),
    ("GET", "/api/v1/sync-logs/{id}/lines/"): Case(200, ids=a_sync_log),
    ("POST", "/api/v1/sync-logs/{id}/accept-losses/"): Case(202, Role.ADMIN, ids=a_log_of_losses),
    ("POST", "/api/v1/vms/{id}/actions/"): Case(
        202, Role.OPERATOR, ids=a_vm, body=lambda member: {"action": "start"}, bad_body={"action": "explode"}
    ),
    ("POST", "/api/v1/vms/actions/"): Case(
        202,
        Role.OPERATOR,
        body=lambda member: {"ids": [str(a_vm(member)["id"])], "action": "start"},
        bad_body={"ids": [], "action": "start"},
    ),
    ("GET", "/api/v1/vms/{id}/operations/"): Case(200, ids=a_vm),
    ("GET", "/api/v1/jobs/"): Case(200),
    ("GET", "/api/v1/jobs/{id}/"): Case(200, ids=a_job),
    ("POST", "/api/v1/jobs/{id}/cancel/"): Case(202, Role.OPERATOR, ids=a_job),
    ("GET", "/api/v1/jobs/{id}/lines/"): Case(200, ids=a_job),
    ("GET", "/api/v1/jobs/{id}/events/"): Case(200, ids=a_job),
    ("POST", "/api/v1/jobs/{id}/resume/"): Case(
        202, staff=True, ids=a_stuck_job, body=because, bad_body={"reason": ""}
    ),
    ("POST", "/api/v1/jobs/{id}/end/"): Case(
        202, staff=True, ids=a_stuck_job, body=because, bad_body={"reason": "x", "undo": "perhaps"}
    ),
    ("POST", "/api/v1/jobs/{id}/retry/"): Case(
        202, staff=True, ids=an_errored_job, body=because, bad_body={"reason": "x" * 1001}
    ),
    ("GET", "/api/v1/queue/schedules/"): Case(200, None, staff=True),
    ("PATCH", "/api/v1/queue/schedules/{id}/"): Case(
        200,
        None,
        staff=True,
        tenants_own=False,
        ids=a_schedule,
        body=lambda member: {"enabled": False},
        bad_body={"every_seconds": 0},
    ),
    ("GET", "/api/v1/queue/workers/"): Case(200, None, staff=True),
    ("GET", "/api/v1/queue/summary/"): Case(200, None, staff=True),
    **DEPLOY_CASES,
}
