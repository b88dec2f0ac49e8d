"""The environment of the histories of `test_histories.py`: a cloud, its portal, a worker, and a clock.

Everything runs in one thread with a real database and the simulated cloud, so that a history is reproducible: a job runs on
request, an event can happen between two pages of a sync, and time passes by moving every time in the database back and the
cloud's clock forward. The invariants are in `test_histories_checks.py`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
import requests
from django.conf import settings
from django.db import connection
from django.utils import timezone

from api.domain_errors import DomainError
from cloudaccounts.models import CloudResource
from openstack_client.compute import Compute, _build_server_query
from openstack_client.paging import read_records
from openstack_client.records import ServerReading
from tasks import dispatch, engine, polling
from tasks.models import IN_FLIGHT, AsyncTask, EntityLock, Job
from tenants.scoping import Role, Scope
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory, MembershipFactory
from vms import services
from vms.models import SyncState, VirtualMachine, VMStatus
from vms.services.orphans import sweep_orphans
from vms.sync import missing_servers, orphans, status, watchers
from vms.sync.adopted_servers import adopt_servers
from vms.sync.status import sync_region
from volumepool.models import Volume

from .test_histories_checks import OBSERVE, STOP_OBSERVING, check, check_losses, compare, compare_volumes

REGION = "RegionOne"
# For a few rows, deleting is much faster than TRUNCATE.
TABLES = (
    *(f"vms_{name}" for name in ("orphan", "consolereading", "resize", "vmsnapshot", "vmoperationlog")),
    *("volumepool_volume", "vms_virtualmachine", "vms_syncrun", "vms_syncstate"),
    *(f"tasks_{name}" for name in ("entitylock", "asynctask", "joblogline", "step", "job", "pollscope")),
    "observed_write",
)
TIMES = {
    "tasks_job": ("not_before", "lease_until", "deadline", "rung_at", "started_at", "created_at"),
    "tasks_step": ("deadline",),
    "tasks_asynctask": ("next_look_at", "expires_at", "created_at"),
    "tasks_pollscope": ("lease_until", "rung_for"),
    "vms_virtualmachine": ("written_at", "observed_at"),
    "vms_syncstate": ("listed_at", "full_listed_at", "changes_from", "full_wanted_at"),
    "vms_resize": ("confirms_at",),
    "vms_orphan": ("first_seen_at", "last_seen_at"),
}


class World:
    """A cloud with servers, most of them the portal's, and the events that can happen to both."""

    def __init__(self, cloud, account, patch):
        self.cloud, self.account, self.patch = cloud, account, patch
        member = MembershipFactory(role=Role.ADMIN)
        self.scope = Scope(member.user, member.tenant, Role.ADMIN)
        self.system = InformationSystemFactory(tenant=member.tenant)
        sync_catalogue(account)
        self.resources = list(CloudResource.objects.values_list("pk", flat=True))
        self.bare = requests.Session()
        self.meanwhile = []
        self.page_size = 1000
        patch.setattr(Compute, "reading_pages", self.reading_pages())
        patch.setattr(dispatch, "_send", lambda *args: None)

    def begin(self, servers, strangers):
        """Reset the cloud, and create servers with and without VMs."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('portal.writer', 'other', false)")
            cursor.execute("SELECT set_config('portal.sync_began', 'infinity', false)")
            cursor.execute("".join(f"DELETE FROM {table};" for table in TABLES))
        CloudResource.objects.exclude(pk__in=self.resources).delete()
        self.cloud.reset()
        self.offset, self.named = 0.0, 0
        self.pass_time(0)
        self.cloud.clock(token_seconds=10**9)
        self.cloud.seed(servers)
        adopt_servers(account=self.account, region=REGION, system_for=lambda n, name: self.system)
        if strangers:
            self.cloud.seed(strangers, name_prefix="stranger")
        answer = self.bare.post(
            f"{self.cloud.auth_url}/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {
                            "user": {"name": "demo", "password": "demo", "domain": {"name": "Default"}}
                        },
                    },
                    "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
                }
            },
            timeout=30,
        )
        self.bare.headers.update(
            {"X-Auth-Token": answer.headers["X-Subject-Token"], "OpenStack-API-Version": "compute 2.69"}
        )
        self.nova = next(
            endpoint["url"]
            for service in answer.json()["token"]["catalog"]
            if service["type"] == "compute"
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        )

    # --- Time ---

    def pass_time(self, seconds):
        """Let time pass, for the portal and for the cloud."""
        if seconds:
            self.cloud.clock(advance_seconds=seconds)
            self.offset += seconds
            statements = [
                f"UPDATE {table} SET "
                + ", ".join(f"{c} = {c} - interval '{seconds} seconds'" for c in columns)
                for table, columns in TIMES.items()
            ]
            with connection.cursor() as cursor, self.writer("time"):
                cursor.execute(";".join(statements))
        # The cloud's clock is now ahead of the portal's, whose times have moved back instead.
        offset = timedelta(seconds=self.offset)
        for module in (status, missing_servers, watchers):
            self.patch.setattr(module, "CLOCK_SKEW", timedelta(minutes=5) - offset)
        self.patch.setattr(orphans, "LONGEST_CREATION", timedelta(hours=2) - offset)

    @contextmanager
    def writer(self, name):
        """Set the name of the writer for the trigger."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('portal.writer', %s, false)", [name])
            try:
                yield
            finally:
                cursor.execute("SELECT set_config('portal.writer', 'other', false)")

    # --- The cloud, behind the portal's back ---

    def servers(self):
        """List the servers as another client of the project."""
        answer = self.bare.get(f"{self.nova}/servers/detail", timeout=30)
        answer.raise_for_status()
        return {server["id"]: server for server in answer.json()["servers"]}

    def server_of(self, which):
        ids = sorted(VirtualMachine.objects.exclude(openstack_id=None).values_list("openstack_id", flat=True))
        return ids[which % len(ids)] if ids else None

    def act(self, which, word, argument=None):
        """Request an action as another client. Nova may refuse it, or no longer have the server."""
        if server_id := self.server_of(which):
            url = f"{self.nova}/servers/{server_id}"
            with suppress(requests.RequestException):
                if word == "delete":
                    self.bare.delete(url, timeout=30)
                else:
                    self.bare.post(f"{url}/action", json={word: argument}, timeout=30)

    def there(self):
        """Return the servers without a request to Nova, so that faults hit the portal alone."""
        return {server["id"] for server in self.cloud.call("GET", "objects")["servers"]}

    def change(self, which, columns):
        """Change a server without a request."""
        server_id = self.server_of(which)
        if server_id in self.there():
            self.cloud.change(server_id, **columns)

    def lose(self, which):
        """Remove a server at once."""
        server_id = self.server_of(which)
        if server_id in self.there():
            # The simulator would go on showing an odd word of a server that is gone.
            self.cloud.change(server_id, status="SHUTOFF")
            self.cloud.remove(server_id)

    # --- People ---

    def vm(self, which):
        vms = list(VirtualMachine.objects.order_by("openstack_id", "created_at"))
        return vms[which % len(vms)] if vms else None

    def ask(self, which, verb, **options):
        """Call a service for a VM; return whether it was accepted."""
        vm = self.vm(which)
        if vm is None:
            return False
        try:
            getattr(services, verb)(scope=self.scope, vm_id=vm.pk, **options)
        except DomainError:
            return False
        return True

    def create(self, *, boot_volume):
        self.named += 1
        params = {"information_system": self.system.pk, "name": f"new-{self.named}", "os_type": "ubuntu"}
        params |= {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40, "boot_volume": boot_volume}
        services.create_vm(scope=self.scope, params=params)

    def move_volume(self, which, volume):
        """Attach a free volume, or detach an attached one."""
        volumes = list(Volume.objects.exclude(volume_id=None).order_by("volume_id"))
        if not volumes:
            self.ask(which, "attach_volume", size_gb=1)
            return
        moved = volumes[volume % len(volumes)]
        if moved.vm_id is None:
            self.ask(which, "attach_volume", volume_id=moved.pk)
            return
        with suppress(DomainError):
            services.detach_volume(scope=self.scope, vm_id=moved.vm_id, volume_id=moved.pk)

    def run_until(self, which, days):
        """Set a VM's end date to some days from now, and run the check of end dates."""
        self.ask(
            which,
            "change_vm",
            fields={"runtime_end": timezone.localdate() + timedelta(days=days)},
            if_match=None,
        )

    # --- The worker ---

    def jobs(self):
        return list(Job.objects.filter(status__in=IN_FLIGHT).order_by("created_at", "position"))

    def work_on(self, which):
        """Run one job as far as it goes."""
        if jobs := self.jobs():
            engine.advance(jobs[which % len(jobs)].pk)

    def work_round(self):
        """Run all due jobs, and poll all watched objects."""
        for job in self.jobs():
            engine.advance(job.pk)
        watched = (
            AsyncTask.objects.filter(verdict="open").order_by().values_list("watcher", "scope").distinct()
        )
        for watcher, scope in watched:
            polling.poll(watcher, scope)

    def work(self, rounds=60):
        """Work in rounds of growing length until all jobs have ended, or the rounds are used up."""
        for number in range(rounds):
            self.work_round()
            if not self.jobs():
                return
            self.pass_time(min(3600, 1.2**number))
        stuck = [f"{job.kind} {job.status} {job.outcome_message}" for job in self.jobs()]
        assert not stuck, stuck

    # --- The sync ---

    def reading_pages(self):
        world = self

        def pages(compute, *, changes_since=None, page_size=1000):
            """List pages as the client does, but without prefetching, so that a history is reproducible."""
            query = _build_server_query(compute._to_cloud_time(changes_since), None)
            for page in compute._raw_pages(world.page_size, query):
                with world.writer("other"):
                    moves, world.meanwhile = world.meanwhile[:1], world.meanwhile[1:]
                    for move in moves:
                        move()
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('portal.writer', 'sync', false)")
                yield read_records(page, ServerReading.from_json)

        return pages

    def sync(self, *, full=False, meanwhile=(), page_size=1000):
        """Run a sync in which an event happens after each of the first pages."""
        self.meanwhile, self.page_size = list(meanwhile), page_size
        before = None if meanwhile else self.losses()
        with connection.cursor() as cursor, self.writer("sync"):
            cursor.execute("SELECT set_config('portal.sync_began', clock_timestamp()::text, false)")
            run = sync_region(self.account.pk, REGION, full=full)
        assert run.message != "Internal error."
        if run.full and before is not None and (run.state == "success" or "missing" in run.message):
            check_losses(run, *before)
        return run

    def losses(self):
        """Return the VMs that a full run would miss, and the number of bound VMs."""
        bound = VirtualMachine.objects.exclude(openstack_id=None).exclude(status=VMStatus.REMOVED)
        listed = self.there()
        held = set(EntityLock.objects.values_list("key", flat=True))
        lost = {vm.pk: vm for vm in bound if vm.openstack_id not in listed}
        return lost, {pk for pk, vm in lost.items() if vm.lock_key in held}, bound.count()

    def sweep(self):
        sweep_orphans(self.account.pk, REGION)

    # --- The end ---

    def settle(self):
        """End all faults and requests, and let everything come to rest: the rows have to agree with the cloud."""
        self.cloud.no_faults()
        self.cloud.clock(build_seconds=0, action_seconds=0, volume_seconds=0)
        self.work()
        if VirtualMachine.objects.filter(resize__isnull=False).exists():
            self.pass_time(3600 * settings.RESIZE_CONFIRM_HOURS + 60)
            services.confirm_due_resizes()
            self.work()
        self.pass_time(2)
        run = self.sync()
        check()
        if run.state == "success" and not run.full:
            # What was missed by a full run before this one is left to the next full run.
            compare(self.servers(), noted=True)
        runs = [self.sync(full=True) for _ in range(2)]
        check()
        # As long as no run has succeeded, the listing of changes has not begun, and a mass loss is never believed.
        if any(run.state != "success" for run in runs):
            assert SyncState.objects.get().changes_from is None, runs[-1].message
            assert "disappeared" in runs[-1].message
            return
        compare(self.servers())
        compare_volumes(self.servers(), self.cloud.call("GET", "objects"))


@contextmanager
def world_of(cloud, account):
    """Provide a world with its trigger and patches."""
    with pytest.MonkeyPatch.context() as patch, connection.cursor() as cursor:
        cursor.execute(OBSERVE)
        # A story that fails would otherwise be lost among thousands of lines.
        logging.disable(logging.CRITICAL)
        try:
            yield World(cloud, account, patch)
        finally:
            logging.disable(logging.NOTSET)
            cursor.execute(STOP_OBSERVING)
