"""What every reading endpoint costs the database: the same for many objects as for few, and as it was checked in."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from api.models import ApiToken, UserSession
from cloudaccounts.models import (
    CatalogueGrant,
    ComputeHost,
    ResourceChange,
    ResourceLink,
    ResourceType,
    SyncLog,
    SyncLogLine,
)
from deploys.models import DeployKey
from events.models import Event
from notifications.models import Delivery, Subscription, Webhook
from signin.models import ServiceAccount
from tasks.models import EntityLock, Job, JobLogLine, Step
from tenants.scoping import Role
from tests.approvals.making import make_delegation, make_policy, make_request
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    DeploymentFactory,
    DeploymentItemFactory,
    HostFactory,
    InformationSystemFactory,
    InstanceFactory,
    InvitationFactory,
    MembershipFactory,
    ServiceFactory,
    SpareVolumeFactory,
    UserFactory,
    VersionFactory,
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
    create_catalogue,
)
from tests.isolation.cases import CASES
from tests.network_factories import (
    FloatingIpFactory,
    SecurityGroupFactory,
    ServerGroupFactory,
    create_interface,
)
from tests.openapi_document import read_openapi_document
from vms.models import PasswordReading, SSHKey, SyncRun, UserDataTemplate, VMLogin, VMOperationLog
from volumepool.models import Claim

pytestmark = pytest.mark.django_db

BASELINE = Path(__file__).with_name("query_counts.json")
FEW, MANY = 3, 12


class World:
    """A tenant with so many objects of everything, and an operator of it, and of as many others, who asks with a token."""

    def __init__(self, count):
        self.count = count
        self.member = MembershipFactory(role=Role.OPERATOR)
        tenant = self.member.tenant
        MembershipFactory.create_batch(count - 1, tenant=tenant)
        self.administrator = MembershipFactory(tenant=tenant, role=Role.ADMIN)
        for number in range(count):
            robot = ServiceAccount.objects.create(
                tenant=tenant, user=UserFactory(), created_by=UserFactory(), name=f"robot-{number}"
            )
            MembershipFactory(tenant=tenant, user=robot.user)
        for number in range(count):
            ApiToken.objects.create(
                user=robot.user, name=f"nightly {number}", expiry=None, tenant_id=tenant.pk, role="viewer"
            )
        for _ in range(count):
            InvitationFactory(tenant=tenant, invited_by=UserFactory())
            InvitationFactory(username=self.member.user.username, invited_by=UserFactory())
        MembershipFactory.create_batch(count - 1, user=self.member.user)
        for number in range(count - 1):
            ApiToken.objects.create(user=self.member.user, name=f"token {number}", expiry=None)
        user, tomorrow = self.member.user, timezone.now() + timedelta(days=1)
        for number in range(count):
            UserSession.objects.create(user=user, key_digest=f"{user.pk} {number}", expires_at=tomorrow)
        self.vms = [
            VirtualMachineFactory(
                information_system=InformationSystemFactory(
                    tenant=tenant, default_account=CloudAccountFactory()
                ),
                account=CloudAccountFactory(),
                created_by=UserFactory(),
            )
            for _ in range(count)
        ]
        self.jobs = [self.a_job(vm) for vm in self.vms]
        for _ in range(count):
            VMOperationLog.objects.create(
                tenant=tenant, vm_id=self.vms[0].pk, vm_name="vm", operation="start", success=True
            )
        for vm in self.vms:
            VolumeFactory(information_system=vm.information_system, account=vm.account, vm=self.vms[0])
            VMSnapshotFactory(
                information_system=vm.information_system,
                account=vm.account,
                vm_id=self.vms[0].pk,
                created_by=UserFactory(),
            )
            self.snapshot = VolumeSnapshotFactory(
                information_system=vm.information_system, created_by=UserFactory()
            )
            create_catalogue(vm.account)
            SyncRun.objects.create(account=vm.account, region="RegionOne")
            self.a_synced_account(vm.created_by)
            Claim.objects.create(pool=VolumePoolFactory(account=vm.account), taken=1)
        ResourceType.objects.bulk_create(
            ResourceType(provider=f"test {count}", code=str(number), name="A type") for number in range(count)
        )
        for type_code in ("server", "volume"):
            CloudResourceFactory.create_batch(count, account=self.account, type=type_code)
        ComputeHost.objects.bulk_create(
            ComputeHost(
                account=self.account,
                region="RegionOne",
                name=f"compute{number}",
                is_up=True,
                is_enabled=True,
                read_at=timezone.now(),
            )
            for number in range(count)
        )
        account = self.vms[0].account
        self.pool = VolumePoolFactory(account=account)
        SpareVolumeFactory.create_batch(count, pool=self.pool)
        self.system = InformationSystemFactory(tenant=tenant, default_account=account, name="A system")
        # What each path names; a path that is not here fails the test.
        self.ids = {
            "/api/v1/tenants/{id}/": tenant.pk,
            "/api/v1/service-accounts/{id}/": robot.pk,
            "/api/v1/service-accounts/{id}/tokens/": robot.pk,
            "/api/v1/tenants/{id}/members/": tenant.pk,
            "/api/v1/tenants/{id}/usage/": tenant.pk,
            "/api/v1/tenants/{id}/invitations/": tenant.pk,
            "/api/v1/information-systems/{id}/": self.vms[0].information_system_id,
            "/api/v1/vms/{id}/": self.vms[0].pk,
            "/api/v1/vms/{id}/operations/": self.vms[0].pk,
            "/api/v1/vms/{id}/console/": self.vms[0].pk,
            "/api/v1/vms/{id}/snapshots/": self.vms[0].pk,
            "/api/v1/vms/{id}/volumes/": self.vms[0].pk,
            "/api/v1/volume-pools/{id}/": self.pool.pk,
            "/api/v1/volume-pools/{id}/history/": self.pool.pk,
            "/api/v1/volume-pools/{id}/spares/": self.pool.pk,
            "/api/v1/volumes/snapshots/{id}/": self.snapshot.pk,
            "/api/v1/volumes/{id}/": self.vms[0].volumes.first().pk,
            "/api/v1/catalogue-grants/{id}/": CatalogueGrant.objects.latest("pk").pk,
            "/api/v1/cloud-accounts/{id}/": self.account.pk,
            "/api/v1/cloud-accounts/{id}/hosts/": self.account.pk,
            "/api/v1/cloud-accounts/{id}/unmanaged/": self.account.pk,
            "/api/v1/cloud-resources/{id}/": self.port.pk,
            "/api/v1/cloud-resources/{id}/changes/": self.port.pk,
            "/api/v1/cloud-resources/{id}/topology/": self.port.pk,
            "/api/v1/cloud-resources/{id}/supports/": self.port.pk,
            "/api/v1/cloud-resources/{id}/stands-on/": self.port.pk,
            "/api/v1/sync-logs/{id}/": self.log.pk,
            "/api/v1/sync-logs/{id}/lines/": self.log.pk,
            "/api/v1/jobs/{id}/": self.jobs[0].pk,
            "/api/v1/jobs/{id}/lines/": self.jobs[0].pk,
            "/api/v1/jobs/{id}/events/": self.jobs[0].pk,
            **self.approvals(),
            **self.logins(),
            **self.notifications(),
            **self.deployments(),
            **self.networks(),
        }

    def networks(self):
        """Security groups whose rules name each other, floating IPs and interfaces on one VM, and server groups."""
        vm, tenant = self.vms[0], self.member.tenant
        place = {"account": vm.account, "region": vm.region}
        groups = SecurityGroupFactory.create_batch(self.count, tenant=tenant, **place)
        for group, other in pairwise([*groups, groups[0]]):
            group.rules = [{"id": "1", "direction": "ingress", "remote_group": other.cloud_id}]
            group.save()
        for _ in range(self.count):
            port = create_interface(vm, *groups[:2])
            FloatingIpFactory(tenant=tenant, port_id=port.cloud_id, vm=vm, **place)
            ServerGroupFactory(information_system=vm.information_system, **place)
        return {
            "/api/v1/security-groups/{id}/": groups[0].pk,
            "/api/v1/floating-ips/{id}/": tenant.floating_ips.first().pk,
            "/api/v1/server-groups/{id}/": vm.information_system.server_groups.first().pk,
            "/api/v1/vms/{id}/interfaces/": vm.pk,
            "/api/v1/vms/{id}/reachability/": vm.pk,
        }

    def approvals(self):
        """Policies with approvers, requests with decisions and delegations, each by other users."""
        tenant = self.member.tenant
        for number in range(self.count):
            policy = make_policy(tenant, f"policy {number}")
            request = make_request(tenant, vms=100 + number)
            make_delegation(tenant)
        for _ in range(self.count):
            request.decisions.create(kind="commented", user=UserFactory(), user_name="ann", comment="soon?")
        # The stream of events sends all of a tenant's in one batch, of many objects as of few.
        Event.objects.filter(tenant=tenant).delete()
        return {"/api/v1/requests/{id}/": request.pk, "/api/v1/approval-policies/{id}/": policy.pk}

    def logins(self):
        """Keys of the tenant and of the operator, and templates, each by another user; a VM that was given a key."""
        tenant, vm = self.member.tenant, self.vms[0]
        for number in range(self.count):
            facts = {"name": f"key {number}", "bits": 256, "fingerprint": f"SHA256:{number}"}
            SSHKey.objects.create(user=self.member.user, **facts)
            key = SSHKey.objects.create(tenant=tenant, **facts)
            template = UserDataTemplate(tenant=tenant, name=f"web {number}", updated_by=UserFactory())
            template.set_text("#cloud-config\n")
            template.save()
        VMLogin.objects.create(vm=vm, ssh_keys=[{"name": "key"}], encrypted_user_data=template.encrypted_text)
        PasswordReading.objects.create(vm=vm, encrypted_text=template.encrypted_text)
        return {
            "/api/v1/ssh-keys/{id}/": key.pk,
            "/api/v1/user-data-templates/{id}/": template.pk,
            "/api/v1/vms/{id}/user-data/": vm.pk,
            "/api/v1/vms/{id}/password/": vm.pk,
        }

    def notifications(self):
        """Webhooks with deliveries, and subscriptions of the operator and of the tenant."""
        tenant, now = self.member.tenant, timezone.now()
        for number in range(self.count):
            webhook = Webhook.objects.create(tenant=tenant, name=f"hook {number}", codes=["*"])
            facts = {"name": f"ops {number}", "codes": ["*"], "channel": "mail"}
            subscription = Subscription.objects.create(tenant=tenant, user=self.member.user, **facts)
            Subscription.objects.create(tenant=tenant, **facts)
        for number in range(self.count):
            Delivery.objects.create(
                webhook=webhook, number=number + 1, code="host.changed", began_at=now, attempted_at=now
            )
        return {
            "/api/v1/webhooks/{id}/": webhook.pk,
            "/api/v1/webhooks/{id}/deliveries/": webhook.pk,
            "/api/v1/subscriptions/{id}/": subscription.pk,
        }

    def deployments(self):
        """A service with versions, hosts and deployments; each of them named by what another user has made."""
        tenant = self.member.tenant
        DeployKey.objects.create(tenant=tenant, encrypted_private_key="unreadable", updated_by=UserFactory())
        service = ServiceFactory(information_system=self.system)
        versions = [VersionFactory(service=service, created_by=UserFactory()) for _ in range(self.count)]
        for vm, version in zip(self.vms, versions, strict=True):
            ServiceFactory(information_system=vm.information_system)
            deployment = DeploymentFactory(from_version=versions[0], to_version=version)
            instance = InstanceFactory(
                version=version,
                host=HostFactory(tenant=tenant, vm=vm),
                updated_by=UserFactory(),
                locked=True,
                locked_by=deployment,
            )
            DeploymentItemFactory(deployment=deployment, instance=instance)
        for version in versions[:-1]:
            # What the last deployment brought to the last host, and to others.
            DeploymentItemFactory(
                deployment=DeploymentFactory(from_version=version, to_version=versions[-1]), instance=instance
            )
            item = DeploymentItemFactory(deployment=deployment, instance=None, host_name="gone")
        of_service = {"id": service.pk, "version_pk": versions[0].pk, "instance_pk": instance.pk}
        return {
            "/api/v1/services/{id}/": service.pk,
            "/api/v1/services/{id}/versions/": service.pk,
            "/api/v1/services/{id}/versions/{version_pk}/": of_service,
            "/api/v1/services/{id}/versions/{version_pk}/upgrade/": of_service,
            "/api/v1/services/{id}/versions/{version_pk}/revert/": of_service,
            "/api/v1/services/{id}/instances/": service.pk,
            "/api/v1/services/{id}/instances/{instance_pk}/": of_service,
            "/api/v1/services/{id}/instances/{instance_pk}/history/": of_service,
            "/api/v1/hosts/{id}/": instance.host_id,
            "/api/v1/deployments/{id}/": deployment.pk,
            "/api/v1/deployments/{id}/items/{item_pk}/": {"id": deployment.pk, "item_pk": item.pk},
        }

    def a_synced_account(self, user):
        """An account of the tenant, with a log that has lines, and a port with changes and links to networks."""
        self.account = CloudAccountFactory(tenant=self.member.tenant)
        self.account.resource_types.set(ResourceType.objects.all()[: self.count])
        self.log = SyncLog.objects.create(account=self.account, type="port", asked_by=user)
        self.port = CloudResourceFactory(account=self.account, type="port")
        for number in range(self.count):
            network = CloudResourceFactory(account=self.account, type="network")
            ResourceLink.objects.create(
                source=self.port,
                kind="port-network",
                account=self.account,
                region=self.port.region,
                target_type="network",
                target_cloud_id=network.cloud_id,
            )
            ResourceChange.objects.create(
                resource=self.port, log=self.log, fields={"name": ["", str(number)]}
            )
            SyncLogLine.objects.create(log=self.log, text=str(number))

    def a_job(self, vm, parent=None):
        """A job that holds the VM, with as many steps, lines and children as there are of everything."""
        job = Job.objects.create(
            kind="vms.start",
            tenant=self.member.tenant,
            created_by=UserFactory(),
            parent=parent,
            deadline=timezone.now() + timedelta(hours=1),
        )
        Step.objects.bulk_create(Step(job=job, position=n, name=f"step {n}") for n in range(self.count))
        JobLogLine.objects.bulk_create(JobLogLine(job=job, message=str(n)) for n in range(self.count))
        if parent is None:
            EntityLock.objects.create(key=vm.lock_key, job=job)
            Job.objects.bulk_create(
                Job(kind="vms.stop", tenant=job.tenant, parent=job, root=job, deadline=job.deadline)
                for _ in range(self.count)
            )
        return job

    def counts(self):
        """The number of queries of every GET of the API, by path."""
        member, staff = client_of(self.member.user), client_of(UserFactory(is_staff=True, is_superuser=True))
        member.credentials(**member._credentials, HTTP_X_TENANT=self.member.tenant.slug)
        administrator, found = client_of(self.administrator.user), {}
        for path in reading_paths():
            if "{" in path:
                assert path in self.ids, f"Say in World.ids which object {path} is asked for."
            named = self.ids.get(path)
            address = path.format(**(named if isinstance(named, dict) else {"id": named}))
            case = CASES["GET", path]
            is_operators = case.required_role is None or Role.OPERATOR.covers(case.required_role)
            client = staff if case.staff else member if is_operators else administrator
            client.get(address)  # What is looked up once a process is looked up now.
            with CaptureQueriesContext(connection) as captured:
                answer = client.get(address)
                content = answer.getvalue()  # Of a stream, this is when it is made.
            assert answer.status_code == 200, (path, content)
            body = answer.json() if "json" in answer["Content-Type"] else {}
            if "results" in body:
                assert len(body["results"]) >= self.count, f"{path} shows fewer objects than there are."
            found[path] = len(captured)
        return found


def client_of(user):
    """A client that asks with a token, as programs do."""
    client = APIClient()
    _row, token = ApiToken.objects.create(user=user, name="asks", expiry=None)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture(autouse=True)
def one_look(settings):
    """A stream of events looks once, and ends."""
    settings.JOB_EVENTS_SECONDS = 0


def reading_paths():
    paths = read_openapi_document()["paths"]
    return sorted(path for path, operations in paths.items() if "get" in operations)


def test_every_reading_endpoint_costs_what_is_checked_in_for_many_objects_and_for_few():
    counts, many = World(FEW).counts(), World(MANY).counts()
    grown = {path: (counts[path], many[path]) for path in counts if counts[path] != many[path]}
    assert grown == {}, f"Queries with {FEW} and with {MANY} objects"
    if os.environ.get("PORTAL_WRITE_BASELINE") == "1":
        BASELINE.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n")

    baseline = json.loads(BASELINE.read_text())

    changed = {
        path: f"{baseline.get(path)} -> {counts.get(path)}"
        for path in sorted({*counts, *baseline})
        if counts.get(path) != baseline.get(path)
    }
    assert changed == {}, f"If it is meant so: PORTAL_WRITE_BASELINE=1 pytest {Path(__file__).name}"
