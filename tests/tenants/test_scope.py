"""The separation of tenants: the tenant of a request, and the rows that it may see."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.apps import apps
from django.utils import timezone

from approvals.models import (
    ApprovalDecision,
    ApprovalDelegation,
    ApprovalPolicy,
    ApprovalRequest,
    PolicyApprover,
)
from cloudaccounts.models import (
    CatalogueGrant,
    CloudAccount,
    CloudResource,
    ReleasedObject,
    ResourceChange,
    SyncLog,
)
from deploys.models import (
    DeployKey,
    Deployment,
    Host,
    MicroService,
    MicroServiceInstance,
    MicroServiceVersion,
)
from events.models import Event, EventChain
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from notifications.models import Delivery, Subscription, Webhook
from signin.models import RoleRule, ServiceAccount
from tasks.models import Job
from tenants.models import InformationSystem, Invitation, Membership, Tenant
from tenants.scoping import Role, Scope, TenantScopedQuerySet
from tests.approvals.making import make_delegation, make_policy, make_request
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    DeploymentFactory,
    HostFactory,
    InformationSystemFactory,
    InstanceFactory,
    InvitationFactory,
    MembershipFactory,
    ServiceFactory,
    TenantFactory,
    UserFactory,
    VersionFactory,
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumeSnapshotFactory,
)
from tests.network_factories import FloatingIpFactory, SecurityGroupFactory, ServerGroupFactory
from vms.models import (
    SSHKey,
    SyncRun,
    UsageSample,
    UserDataTemplate,
    VirtualMachine,
    VMOperationLog,
    VmPort,
    VMSnapshot,
    VMUsage,
)
from volumepool.models import Volume, VolumeSnapshot

pytestmark = pytest.mark.django_db
URL = "/api/v1/information-systems/"


def shown(client, slug=None):
    answer = client.get(URL, headers={"X-Tenant": slug} if slug else {})
    assert answer.status_code == 200, answer.content
    return {row["tenant"] for row in answer.json()["results"]}


def refusal(client, slug=None):
    answer = client.get(URL, headers={"X-Tenant": slug} if slug else {})
    said = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status_code, answer.json()["code"], str(said).replace(slug or " ", "?")


@pytest.fixture
def tenants():
    """Create two tenants, each with an information system."""
    made = TenantFactory.create_batch(2)
    for tenant in made:
        InformationSystemFactory(tenant=tenant)
    return made


# --- X-Tenant ----------------------------------------------------------------------------------------------


def test_a_member_of_one_tenant_needs_to_say_nothing(tenants, client_of):
    mine, _other = tenants
    client = client_of(MembershipFactory(tenant=mine).user)

    assert shown(client) == shown(client, mine.slug) == {mine.slug}


def test_a_member_of_several_must_name_one(tenants, client_of):
    user = UserFactory()
    for tenant in tenants:
        MembershipFactory(tenant=tenant, user=user)
    client = client_of(user)

    status, code, said = refusal(client)

    assert (status, code) == (400, "tenant_required")
    assert all(tenant.slug in said for tenant in tenants)
    assert [shown(client, tenant.slug) for tenant in tenants] == [{tenant.slug} for tenant in tenants]


def test_anothers_tenant_and_one_that_never_was_are_the_same_404(tenants, client_of):
    mine, other = tenants
    client = client_of(MembershipFactory(tenant=mine).user)

    foreign, unknown = refusal(client, other.slug), refusal(client, "never-was")

    assert foreign == unknown
    assert foreign[:2] == (404, "no_such_tenant")


def test_the_role_is_that_in_the_tenant_which_is_named(tenants, client_of):
    user = UserFactory()
    for tenant, role in zip(tenants, (Role.ADMIN, Role.VIEWER), strict=True):
        MembershipFactory(tenant=tenant, user=user, role=role)
    client = client_of(user)

    answers = [
        client.post(URL, {"name": "New"}, format="json", headers={"X-Tenant": tenant.slug})
        for tenant in tenants
    ]

    assert [answer.status_code for answer in answers] == [201, 403]


def test_an_inactive_tenant_is_invisible_to_its_members(tenants, client_of):
    active, inactive = tenants
    Tenant.objects.filter(pk=inactive.pk).update(active=False)
    user = UserFactory()
    for tenant in tenants:
        MembershipFactory(tenant=tenant, user=user, role=Role.ADMIN)
    client = client_of(user)

    assert shown(client) == {active.slug}  # It is the only one that is left to choose.
    assert refusal(client, inactive.slug) == refusal(client, "never-was")
    assert [row["slug"] for row in client.get("/api/v1/tenants/").json()["results"]] == [active.slug]
    for path in ("", "members/", "usage/"):
        assert client.get(f"/api/v1/tenants/{inactive.pk}/{path}").status_code == 404
    assert [row["slug"] for row in client.get("/api/v1/auth/me").json()["tenants"]] == [active.slug]


def test_a_member_of_inactive_tenants_alone_has_no_tenant(client_of):
    client = client_of(MembershipFactory(tenant__active=False).user)

    assert refusal(client)[:2] == refusal(client_of(UserFactory()))[:2] == (403, "no_tenant")


def test_staff_see_all_tenants_or_the_one_that_they_name(tenants, client_of):
    client = client_of(UserFactory(is_staff=True, is_superuser=True))

    assert shown(client) == {tenant.slug for tenant in tenants}
    assert shown(client, tenants[0].slug) == {tenants[0].slug}
    assert refusal(client, "never-was")[:2] == (404, "no_such_tenant")


def test_staff_who_are_members_of_one_tenant_still_see_all(tenants, client_of):
    client = client_of(
        MembershipFactory(tenant=tenants[0], user__is_staff=True, user__is_superuser=True).user
    )

    assert shown(client) == {tenant.slug for tenant in tenants}


# --- visible_to, for every model that is scoped ------------------------------------------------------------


def a_job(tenant):
    return Job.objects.create(kind="test.any", tenant=tenant, deadline=timezone.now())


def a_grant(tenant):
    account = CloudAccountFactory(grants=False)
    return CatalogueGrant.objects.create(tenant=tenant, account=account, kind="zone", match="*")


def a_log_entry(tenant):
    vm = VirtualMachineFactory(information_system__tenant=tenant)
    return VMOperationLog.objects.create(
        tenant=tenant, vm_id=vm.pk, vm_name=vm.name, operation="start", success=True
    )


def a_delivery(tenant):
    webhook = Webhook.objects.create(tenant=tenant, name="delivered", codes=["*"])
    now = timezone.now()
    return Delivery.objects.create(
        webhook=webhook, number=1, code="host.changed", began_at=now, attempted_at=now
    )


# How to make a row of each in a tenant. A model that is not here fails the first test below.
MAKE = {
    Tenant: lambda tenant: tenant,
    Membership: lambda tenant: MembershipFactory(tenant=tenant),
    Invitation: lambda tenant: InvitationFactory(tenant=tenant),
    InformationSystem: lambda tenant: InformationSystemFactory(tenant=tenant),
    ServiceAccount: lambda tenant: ServiceAccount.objects.create(
        tenant=tenant, user=UserFactory(), name=str(uuid4())
    ),
    RoleRule: lambda tenant: RoleRule.objects.create(provider="corp", group=str(uuid4()), tenant=tenant),
    CloudAccount: lambda tenant: CloudAccountFactory(tenant=tenant),
    VirtualMachine: lambda tenant: VirtualMachineFactory(information_system__tenant=tenant),
    VMUsage: lambda tenant: VMUsage.objects.create(
        information_system=InformationSystemFactory(tenant=tenant),
        status="running",
        vms=1,
        cpu_cores=1,
        memory_gb=1,
        disk_gb=10,
    ),
    UsageSample: lambda tenant: UsageSample.objects.create(
        tenant=tenant,
        at=timezone.now(),
        **dict.fromkeys(["vms", "cpu_cores", "memory_gb", "disk_gb", "running", "stopped", "error"], 1),
    ),
    SSHKey: lambda tenant: SSHKey.objects.create(tenant=tenant, name="office", bits=256),
    UserDataTemplate: lambda tenant: UserDataTemplate.objects.create(tenant=tenant, name="web"),
    VMOperationLog: a_log_entry,
    Event: lambda tenant: Event.objects.create(tenant=tenant, code="host.changed"),
    EventChain: lambda tenant: EventChain.objects.create(tenant=tenant),
    Webhook: lambda tenant: Webhook.objects.create(tenant=tenant, name="web", codes=["*"]),
    Delivery: a_delivery,
    Subscription: lambda tenant: Subscription.objects.create(tenant=tenant, name="ops", codes=["*"]),
    ApprovalPolicy: make_policy,
    PolicyApprover: lambda tenant: make_policy(tenant).approvers.get(),
    ApprovalRequest: make_request,
    ApprovalDecision: lambda tenant: ApprovalDecision.objects.create(
        request=make_request(tenant), kind="commented", user_name="ann", comment="soon?"
    ),
    ApprovalDelegation: make_delegation,
    VMSnapshot: lambda tenant: VMSnapshotFactory(information_system__tenant=tenant),
    Volume: lambda tenant: VolumeFactory(information_system__tenant=tenant),
    VolumeSnapshot: lambda tenant: VolumeSnapshotFactory(information_system__tenant=tenant),
    SecurityGroup: lambda tenant: SecurityGroupFactory(tenant=tenant),
    FloatingIp: lambda tenant: FloatingIpFactory(tenant=tenant),
    ServerGroup: lambda tenant: ServerGroupFactory(information_system__tenant=tenant),
    VmPort: lambda tenant: VmPort.objects.create(
        account=CloudAccountFactory(),
        vm=VirtualMachineFactory(information_system__tenant=tenant),
        network_id="internal",
    ),
    CloudResource: lambda tenant: CloudResourceFactory(account__tenant=tenant),
    ResourceChange: lambda tenant: ResourceChange.objects.create(
        resource=CloudResourceFactory(account__tenant=tenant), fields={"name": ["a", "b"]}
    ),
    CatalogueGrant: a_grant,
    ReleasedObject: lambda tenant: ReleasedObject.objects.create(
        tenant=tenant, kind="server", cloud_id=str(uuid4()), row_id=uuid4()
    ),
    SyncLog: lambda tenant: SyncLog.objects.create(account=CloudAccountFactory(tenant=tenant), type="flavor"),
    SyncRun: lambda tenant: SyncRun.objects.create(account=CloudAccountFactory(tenant=tenant)),
    Job: a_job,
    MicroService: lambda tenant: ServiceFactory(information_system__tenant=tenant),
    MicroServiceVersion: lambda tenant: VersionFactory(service__information_system__tenant=tenant),
    Host: lambda tenant: HostFactory(tenant=tenant),
    DeployKey: lambda tenant: DeployKey.objects.create(tenant=tenant),
    MicroServiceInstance: lambda tenant: InstanceFactory(version__service__information_system__tenant=tenant),
    Deployment: lambda tenant: DeploymentFactory(from_version__service__information_system__tenant=tenant),
}
# Whether a row without a tenant is everybody's or the platform's own.
WITHOUT_TENANT = {
    CloudAccount: (lambda: CloudAccountFactory(tenant=None), True),
    Job: (lambda: a_job(None), False),
    CatalogueGrant: (lambda: a_grant(None), True),
    ReleasedObject: (
        lambda: ReleasedObject.objects.create(kind="server", cloud_id=str(uuid4()), row_id=uuid4()),
        False,
    ),
    Event: (lambda: Event.objects.create(code="sign_in.failed"), False),
    EventChain: (EventChain.objects.create, False),
    # Policies of the platform, which hold for every tenant and are written by staff.
    ApprovalPolicy: (lambda: make_policy(None), False),
    PolicyApprover: (lambda: PolicyApprover.objects.get(policy=make_policy(None)), False),
    # A person's own key.
    SSHKey: (lambda: SSHKey.objects.create(user=UserFactory(), name="laptop", bits=256), False),
}
every_model = pytest.mark.parametrize("model", list(MAKE), ids=lambda model: model.__name__)


def is_scoped(model):
    return isinstance(model._default_manager.all(), TenantScopedQuerySet)


def test_every_scoped_model_is_tried_below():
    assert {model for model in apps.get_models() if is_scoped(model)} == set(MAKE)


def test_every_model_with_a_tenant_is_scoped():
    with_tenant = {
        model
        for model in apps.get_models()
        for column in model._meta.concrete_fields
        if column.related_model is Tenant
    }

    assert {model.__name__ for model in with_tenant if not is_scoped(model)} == set()
    assert with_tenant  # Or the line above would be about nothing.


def test_every_model_whose_tenant_may_be_empty_says_who_sees_those_rows():
    may_be_empty = {
        model
        for model in MAKE
        for column in model._meta.concrete_fields
        if column.related_model is Tenant and column.null
    }

    assert may_be_empty == set(WITHOUT_TENANT)


@every_model
def test_a_member_sees_the_rows_of_his_tenants_alone_and_each_once(model):
    mine, also_mine, other = TenantFactory.create_batch(3)
    rows = {tenant: MAKE[model](tenant) for tenant in (mine, also_mine, other)}
    user = UserFactory()
    own = [MembershipFactory(tenant=tenant, user=user) for tenant in (mine, also_mine)]
    MembershipFactory.create_batch(2, tenant=mine)
    expected = {rows[mine].pk, rows[also_mine].pk}

    visible = list(model.objects.visible_to(user).values_list("pk", flat=True))

    assert len(visible) == len(set(visible))
    assert expected <= set(visible)
    assert rows[other].pk not in visible
    for scope_tenant, there in rows.items():
        within = model.objects.within(Scope(user, scope_tenant, Role.VIEWER))
        assert there in within
        assert not {row.pk for tenant, row in rows.items() if tenant is not scope_tenant} & set(
            within.values_list("pk", flat=True)
        )
    assert own


@every_model
def test_a_stranger_sees_nothing_and_staff_see_everything(model):
    rows = {MAKE[model](tenant).pk for tenant in TenantFactory.create_batch(2)}
    staff = UserFactory(is_staff=True, is_superuser=True)

    assert not model.objects.visible_to(UserFactory()).exists()
    assert rows <= set(model.objects.visible_to(staff).values_list("pk", flat=True))
    assert rows <= set(model.objects.within(Scope(staff, None, Role.ADMIN)).values_list("pk", flat=True))


@every_model
def test_the_rows_of_an_inactive_tenant_are_invisible_to_its_members(model):
    member = MembershipFactory(role=Role.ADMIN)
    row = MAKE[model](member.tenant)
    assert row in model.objects.visible_to(member.user)

    Tenant.objects.filter(pk=member.tenant.pk).update(active=False)

    assert row not in model.objects.visible_to(member.user)
    assert row in model.objects.visible_to(UserFactory(is_staff=True, is_superuser=True))


@pytest.mark.parametrize("model", list(WITHOUT_TENANT), ids=lambda model: model.__name__)
def test_a_row_without_a_tenant_is_everybodys_or_the_platforms(model):
    make, everybodys = WITHOUT_TENANT[model]
    row, member = make(), MembershipFactory()

    assert (row in model.objects.visible_to(member.user)) is everybodys
    assert (row in model.objects.within(Scope(member.user, member.tenant, Role.ADMIN))) is everybodys
    assert row in model.objects.visible_to(UserFactory(is_staff=True, is_superuser=True))
