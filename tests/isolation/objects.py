"""Create the objects that the paths of operations name, in a member's tenant, and valid bodies of requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.models import ApiToken, UserSession
from cloudaccounts.models import CatalogueGrant, ResourceChange, SyncLog
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
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
    create_catalogue,
)
from vms.commands.power import POWER_COMMANDS
from vms.models import SSHKey, SyncRun, UserDataTemplate

from .case import Ids


def create_vm(member: Membership) -> Ids:
    return {"id": VirtualMachineFactory(information_system__tenant=member.tenant).pk}


def _in_bin() -> dict[str, Any]:
    return {"binned_at": timezone.now(), "bin_until": timezone.now() + timedelta(days=7)}


def create_binned_vm(member: Membership) -> Ids:
    return {"id": VirtualMachineFactory(information_system__tenant=member.tenant, **_in_bin()).pk}


def create_binned_volume(member: Membership) -> Ids:
    return {"id": VolumeFactory(information_system__tenant=member.tenant, **_in_bin()).pk}


def create_system(member: Membership) -> Ids:
    return {"id": InformationSystemFactory(tenant=member.tenant).pk}


def create_system_with_catalogue(member: Membership) -> Ids:
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    return {"id": InformationSystemFactory(tenant=member.tenant, default_account=account).pk}


def build_vm_request(member: Membership) -> dict[str, Any]:
    size = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}
    system = str(create_system_with_catalogue(member)["id"])
    return {"information_system": system, "name": "shop-1", "os_type": "ubuntu", **size}


def create_running_vm(member: Membership) -> Ids:
    """Create a VM in an account with a catalogue."""
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    vm = VirtualMachineFactory(
        information_system__tenant=member.tenant, account=account, status="running", disk_gb=10
    )
    return {"id": vm.pk}


def create_rescued_vm(member: Membership) -> Ids:
    return {"id": VirtualMachineFactory(information_system__tenant=member.tenant, status="rescue").pk}


def create_volume(member: Membership) -> Ids:
    return {"id": VolumeFactory(information_system__tenant=member.tenant).pk}


def create_volume_snapshot(member: Membership) -> Ids:
    return {"id": VolumeSnapshotFactory(information_system__tenant=member.tenant).pk}


def create_pool(member: Membership) -> Ids:
    return {"id": SpareVolumeFactory(pool__account__tenant=member.tenant).pool_id}


def build_volume_request(member: Membership) -> dict[str, Any]:
    system = InformationSystemFactory(tenant=member.tenant)
    pool = VolumePoolFactory(account=CloudAccountFactory(tenant=member.tenant))
    return {"information_system": str(system.pk), "type": pool.type, "count": 2}


def create_attached_volume(member: Membership) -> Ids:
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    volume = VolumeFactory(
        information_system=vm.information_system, account=vm.account, vm=vm, status="in-use"
    )
    return {"id": vm.pk, "volume_pk": volume.pk}


def create_ssh_key(member: Membership) -> Ids:
    """Create a key of the tenant."""
    key = SSHKey.objects.create(
        tenant=member.tenant, name="office", public_key="ssh-ed25519 AAAA", type="ssh-ed25519", bits=256
    )
    return {"id": key.pk}


def create_user_data_template(member: Membership) -> Ids:
    template = UserDataTemplate(tenant=member.tenant, name="web")
    template.set_text("#cloud-config\n")
    template.save()
    return {"id": template.pk}


def create_vm_snapshot(member: Membership) -> Ids:
    return {"id": VMSnapshotFactory(information_system__tenant=member.tenant).pk}


def create_account(member: Membership) -> Ids:
    return {"id": CloudAccountFactory(tenant=member.tenant).pk}


def create_account_with_server(member: Membership) -> Ids:
    """Create an account with a server that the portal does not manage."""
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    size = {"flavor": "2c-4g-40g", "vcpus": 2, "memory_mb": 4096, "disk_gb": 40}
    CloudResourceFactory(account=account, type="server", status="ACTIVE", attributes=size)
    return {"id": account.pk}


def build_adoption(member: Membership) -> dict[str, Any]:
    return {"rule": {"name": "*"}, "information_system": str(create_system(member)["id"])}


def build_move(member: Membership) -> dict[str, Any]:
    return {"information_system": str(create_system(member)["id"])}


def create_resource(member: Membership) -> Ids:
    return {"id": CloudResourceFactory(account__tenant=member.tenant).pk}


def create_resource_change(member: Membership) -> Ids:
    resource = CloudResourceFactory(account__tenant=member.tenant)
    return {"id": ResourceChange.objects.create(resource=resource, fields={"name": ["a", "b"]}).pk}


def create_grant(member: Membership) -> Ids:
    account = CloudAccountFactory(grants=False)
    return {"id": CatalogueGrant.objects.create(account=account, kind="flavor", match="*").pk}


def build_grant_request(member: Membership) -> dict[str, Any]:
    resource = CloudResourceFactory(account=CloudAccountFactory(grants=False))
    account = resource.account_id
    return {
        "tenant": str(member.tenant.pk),
        "account": account,
        "kind": "flavor",
        "object": resource.cloud_id,
    }


def create_sync_log(member: Membership) -> Ids:
    return {"id": SyncLog.objects.create(account_id=create_account(member)["id"], type="flavor").pk}


def create_sync_log_with_losses(member: Membership) -> Ids:
    ids = create_sync_log(member)
    SyncLog.objects.filter(pk=ids["id"]).update(state="failed", held_back=7, ended_at=Now())
    return ids


def create_sync_run(member: Membership) -> Ids:
    run = SyncRun.objects.create(account=CloudAccountFactory(tenant=member.tenant), region="RegionOne")
    return {"id": run.pk}


def get_tenant_ids(member: Membership) -> Ids:
    return {"id": member.tenant.pk}


def add_other_administrator(member: Membership) -> Ids:
    MembershipFactory(tenant=member.tenant, role=Role.ADMIN)
    return {"id": member.tenant.pk}


def add_viewer(member: Membership) -> Ids:
    other = MembershipFactory(tenant=member.tenant, role=Role.VIEWER)
    return {"id": member.tenant.pk, "member_pk": other.pk}


def create_tenant_invitation(member: Membership) -> Ids:
    return {"id": member.tenant.pk, "invitation_pk": InvitationFactory(tenant=member.tenant).pk}


def create_user_invitation(member: Membership) -> Ids:
    return {"id": InvitationFactory(username=member.user.username).pk}


def create_job(member: Membership) -> Ids:
    from django.db import transaction

    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    command = POWER_COMMANDS["start"](str(vm.pk))
    with transaction.atomic():
        return {"id": engine.submit(command, tenant=member.tenant, user=member.user).job.pk}


def create_stuck_job(member: Membership) -> Ids:
    ids = create_job(member)
    Job.objects.filter(pk=ids["id"]).update(status="stuck", outcome_code="stuck")
    return ids


def create_errored_job(member: Membership) -> Ids:
    ids = create_job(member)
    EntityLock.objects.filter(job_id=ids["id"]).delete()
    Job.objects.filter(pk=ids["id"]).update(status="errored", ended_at=Now())
    return ids


def create_schedule(member: Membership) -> Ids:
    interval, _created = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    return {"id": PeriodicTask.objects.create(name="tasks.sweep", task="tasks.sweep", interval=interval).pk}


def create_session(member: Membership) -> Ids:
    expires_at = timezone.now() + timedelta(days=1)
    return {"id": UserSession.objects.create(user=member.user, key_digest="0" * 64, expires_at=expires_at).id}


def create_token(member: Membership) -> Ids:
    token, _secret = ApiToken.objects.create(user=member.user, name="mine", expiry=None)
    return {"id": token.id}


def build_reason(member: Membership) -> dict[str, Any]:
    return {"reason": "The host is back."}
