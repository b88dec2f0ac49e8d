"""How to make a row of every table that the admin shows, each with related rows of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
)

from api.models import ApiToken
from approvals.models import ApprovalDelegation, ApprovalPolicy, ApprovalRequest
from cloudaccounts.models import (
    CatalogueGrant,
    CloudAccount,
    CloudResource,
    ComputeHost,
    ReleasedObject,
    ResourceType,
    SyncLog,
)
from deploys.models import (
    DeployKey,
    Deployment,
    DeploymentItem,
    Host,
    MicroService,
    MicroServiceInstance,
    MicroServiceVersion,
)
from events.models import Event
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from notifications.models import Delivery, Subscription, Webhook
from signin.models import ExternalIdentity, Passkey, RoleRule, ServiceAccount, TotpDevice
from tasks.models import AsyncTask, EntityLock, Job, JobLogLine, Step
from tenants.models import InformationSystem, Invitation, Membership, Tenant, User
from tests.approvals.making import make_delegation, make_policy, make_request
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    DeploymentItemFactory,
    HostFactory,
    InformationSystemFactory,
    InstanceFactory,
    InvitationFactory,
    MembershipFactory,
    ScheduledAccountFactory,
    ServiceFactory,
    SpareVolumeFactory,
    TenantFactory,
    UserFactory,
    VersionFactory,
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
)
from tests.network_factories import FloatingIpFactory, SecurityGroupFactory, ServerGroupFactory
from vms.models import (
    Orphan,
    SSHKey,
    SyncRun,
    SyncState,
    UserDataTemplate,
    VirtualMachine,
    VMOperationLog,
    VmPort,
    VMSnapshot,
)
from volumepool.models import (
    Claim,
    OrphanVolume,
    Volume,
    VolumePool,
    VolumeSnapshot,
    VolumeSyncState,
)

_numbers = itertools.count(1)


def a_job() -> Job:
    """A job in a tenant of its own, asked for by a user of its own."""
    number = next(_numbers)
    return Job.objects.create(
        kind="vms.start",
        subject=f"vm-{number}",
        tenant=TenantFactory(),
        created_by=UserFactory(),
        deadline=timezone.now() + timedelta(hours=1),
    )


def a_lock(job: Job | None = None) -> EntityLock:
    return EntityLock.objects.create(key=f"vm:{next(_numbers)}", job=job or a_job())


def a_watch(job: Job | None = None) -> AsyncTask:
    return AsyncTask.objects.create(
        job=job or a_job(),
        step_name=f"step {next(_numbers)}",
        watcher="server",
        scope="1/RegionOne",
        object_id=str(next(_numbers)),
        until=["ACTIVE"],
        unless=["ERROR"],
        next_look_at=timezone.now(),
        expires_at=timezone.now() + timedelta(minutes=5),
        verdict=AsyncTask.Verdict.DROPPED,  # One job has one open watch.
    )


def a_step(job: Job) -> Step:
    number = next(_numbers)
    return Step.objects.create(job=job, position=number, name=f"step {number}")


def a_line(job: Job) -> JobLogLine:
    return JobLogLine.objects.create(job=job, message="Something was said.")


def a_log_entry() -> VMOperationLog:
    vm = VirtualMachineFactory()
    return VMOperationLog.objects.create(
        tenant=vm.information_system.tenant,
        vm_id=vm.pk,
        vm_name=vm.name,
        operation="start",
        operator="ann",
        success=True,
    )


def a_periodic_task() -> PeriodicTask:
    number = next(_numbers)
    interval = IntervalSchedule.objects.create(every=number, period="seconds")
    return PeriodicTask.objects.create(
        name=f"schedule {number}", task="tasks.sweep", interval=interval, start_time=timezone.now()
    )


def a_delivery() -> Delivery:
    webhook = Webhook.objects.create(tenant=TenantFactory(), name="web", codes=["*"])
    now = timezone.now()
    return Delivery.objects.create(
        webhook=webhook, number=next(_numbers), code="host.changed", began_at=now, attempted_at=now
    )


MAKE: dict[type[models.Model], Callable[[], Any]] = {
    Event: lambda: Event.objects.create(tenant=TenantFactory(), code="host.changed", object_name="web-1"),
    ApprovalPolicy: lambda: make_policy(TenantFactory()),
    ApprovalRequest: lambda: make_request(TenantFactory()),
    ApprovalDelegation: lambda: make_delegation(TenantFactory()),
    Invitation: InvitationFactory,
    RoleRule: lambda: RoleRule.objects.create(
        provider="corp", group=f"group {next(_numbers)}", tenant=TenantFactory()
    ),
    ExternalIdentity: lambda: ExternalIdentity.objects.create(
        user=UserFactory(), provider="corp", issuer="https://sso.example.org", subject=f"s{next(_numbers)}"
    ),
    ServiceAccount: lambda: ServiceAccount.objects.create(
        tenant=TenantFactory(), user=UserFactory(), created_by=UserFactory(), name=f"robot-{next(_numbers)}"
    ),
    Passkey: lambda: Passkey.objects.create(
        user=UserFactory(), name="Laptop", credential_id=uuid4().hex, credential=b""
    ),
    TotpDevice: lambda: TotpDevice.objects.create(user=UserFactory(), encrypted_secret="unreadable"),
    Group: lambda: Group.objects.create(name=f"group {next(_numbers)}"),
    ApiToken: lambda: ApiToken.objects.create(
        user=UserFactory(), name=f"token {next(_numbers)}", expiry=None
    )[0],
    PeriodicTask: a_periodic_task,
    CrontabSchedule: lambda: CrontabSchedule.objects.create(hour=str(next(_numbers))),
    IntervalSchedule: lambda: IntervalSchedule.objects.create(every=next(_numbers), period="days"),
    Job: a_job,
    EntityLock: a_lock,
    AsyncTask: a_watch,
    User: lambda: MembershipFactory().user,
    Tenant: lambda: MembershipFactory().tenant,
    Membership: MembershipFactory,
    InformationSystem: lambda: InformationSystemFactory(default_account=CloudAccountFactory()),
    CloudAccount: lambda: ScheduledAccountFactory(tenant=TenantFactory()),
    VirtualMachine: lambda: VirtualMachineFactory(created_by=UserFactory()),
    VMOperationLog: a_log_entry,
    CloudResource: CloudResourceFactory,
    ResourceType: lambda: ResourceType.objects.create(
        provider="test", code=f"type {next(_numbers)}", name="Type"
    ),
    ReleasedObject: lambda: ReleasedObject.objects.create(
        account=CloudAccountFactory(), kind="server", cloud_id=f"server-{next(_numbers)}", row_id=uuid4()
    ),
    CatalogueGrant: lambda: CatalogueGrant.objects.create(
        account=CloudAccountFactory(grants=False), kind="zone", match="*"
    ),
    ComputeHost: lambda: ComputeHost.objects.create(
        account=CloudAccountFactory(),
        region="RegionOne",
        name=f"compute{next(_numbers)}",
        is_up=True,
        is_enabled=True,
        read_at=timezone.now(),
    ),
    SyncLog: lambda: SyncLog.objects.create(account=CloudAccountFactory(), type="flavor"),
    VolumePool: lambda: SpareVolumeFactory().pool,
    Claim: lambda: Claim.objects.create(pool=VolumePoolFactory(), taken=1),
    OrphanVolume: lambda: OrphanVolume.objects.create(
        account=CloudAccountFactory(), region="RegionOne", volume_id=str(next(_numbers))
    ),
    SecurityGroup: SecurityGroupFactory,
    FloatingIp: lambda: FloatingIpFactory(vm=VirtualMachineFactory()),
    ServerGroup: ServerGroupFactory,
    VmPort: lambda: VmPort.objects.create(
        account=CloudAccountFactory(), vm=VirtualMachineFactory(), network_id="internal"
    ),
    Volume: lambda: VolumeFactory(vm=VirtualMachineFactory()),
    VolumeSnapshot: VolumeSnapshotFactory,
    VMSnapshot: VMSnapshotFactory,
    SyncState: lambda: SyncState.objects.create(account=CloudAccountFactory(), region="RegionOne"),
    VolumeSyncState: lambda: VolumeSyncState.objects.create(
        account=CloudAccountFactory(), region="RegionOne"
    ),
    SSHKey: lambda: SSHKey.objects.create(
        user=UserFactory(), name=f"key {next(_numbers)}", public_key="ssh-ed25519 AAAA", bits=256
    ),
    UserDataTemplate: lambda: UserDataTemplate.objects.create(
        tenant=TenantFactory(), name="web", encrypted_text="unreadable", updated_by=UserFactory()
    ),
    Webhook: lambda: Webhook.objects.create(tenant=TenantFactory(), name="web", codes=["*"]),
    Delivery: a_delivery,
    Subscription: lambda: Subscription.objects.create(
        tenant=TenantFactory(), user=UserFactory(), name="mine", codes=["*"]
    ),
    Orphan: lambda: Orphan.objects.create(
        account=CloudAccountFactory(), region="RegionOne", kind="server", cloud_id=str(next(_numbers))
    ),
    SyncRun: lambda: SyncRun.objects.create(account=CloudAccountFactory(), region="RegionOne"),
    MicroService: ServiceFactory,
    MicroServiceVersion: lambda: VersionFactory(created_by=UserFactory()),
    Host: lambda: HostFactory(vm=VirtualMachineFactory()),
    DeployKey: lambda: DeployKey.objects.create(
        tenant=TenantFactory(), updated_by=UserFactory(), encrypted_private_key="unreadable"
    ),
    MicroServiceInstance: lambda: InstanceFactory(updated_by=UserFactory()),
    Deployment: lambda: DeploymentItemFactory().deployment,
    DeploymentItem: DeploymentItemFactory,
}
