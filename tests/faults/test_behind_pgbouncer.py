"""Web, workers and two beats behind PgBouncer in transaction mode, with fewer connections than there are processes."""

from __future__ import annotations

import time

import pytest
import requests
from django.core.management import call_command
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from devserver import launch
from portal.beat import BEAT_LOCK
from tasks.models import ENDED, EntityLock, Job, JobStatus
from tenants.scoping import Role
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory
from tests.pgbouncer import start_pgbouncer
from tests.working import wait_for
from vms.models import VirtualMachine, VMStatus

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.story, pytest.mark.timeout(300)]

# Of PgBouncer to PostgreSQL. Sixteen web threads and six worker processes share them.
POOL_SIZE = 3
VMS = 4


def sessions():
    """Return the number of sessions of others in the test's database, and of those with beat's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
            " AND (classid::bigint << 32) + objid::bigint = %s))"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            [BEAT_LOCK],
        )
        return cursor.fetchone()


def request_vms(portal, authorization, system):
    for number in range(VMS):
        answer = requests.post(
            f"{portal.url}/api/v1/vms/",
            json={
                "information_system": str(system.pk),
                "name": f"shop-{number}",
                "cpu_cores": 2,
                "memory_gb": 4,
                "disk_gb": 40,
                "os_type": "ubuntu",
            },
            headers=authorization,
            timeout=60,
        )
        assert answer.status_code == 202, answer.text


def request_actions(portal, authorization, action):
    for pk in VirtualMachine.objects.values_list("pk", flat=True):
        answer = requests.post(
            f"{portal.url}/api/v1/vms/{pk}/actions/",
            json={"action": action},
            headers=authorization,
            timeout=60,
        )
        assert answer.status_code == 202, answer.text


def all_ended():
    return not Job.objects.exclude(status__in=ENDED).exists()


def test_vms_are_created_stopped_and_started_and_one_beat_leads(
    cloud, account, member, web, authorization, celery_worker, start_beat
):
    member.role = Role.ADMIN
    member.save()
    sync_catalogue(account)
    system = InformationSystemFactory(tenant=member.tenant)
    call_command("write_schedules", verbosity=0)
    second, _created = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(name="tasks.sweep").update(enabled=False)
    PeriodicTask.objects.filter(name="tasks.sweep").update(interval=second)

    with start_pgbouncer(pool_size=POOL_SIZE) as pooler:
        portal = web(workers=2, threads=8, environment=pooler.environment)
        celery_worker(concurrency=3, environment=pooler.environment)
        celery_worker(concurrency=3, environment=pooler.environment)
        beats = [start_beat(pooler.environment) for _ in range(2)]
        logs = [log for _process, log in beats]
        wait_for("a beat leads", lambda: [log for log in logs if "beat_leads" in log.read_text()], 60)
        wait_for("the other waits", lambda: [log for log in logs if "beat_waits" in log.read_text()], 60)
        assert sessions()[1] == 1

        request_vms(portal, authorization, system)
        wait_for("the VMs are created", all_ended, 90)
        request_actions(portal, authorization, "stop")
        wait_for("they are stopped", all_ended, 90)
        assert set(VirtualMachine.objects.values_list("status", flat=True)) == {VMStatus.STOPPED}
        request_actions(portal, authorization, "start")
        wait_for("they are started", all_ended, 90)

        assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}
        assert set(VirtualMachine.objects.values_list("status", flat=True)) == {VMStatus.RUNNING}
        for vm in VirtualMachine.objects.all():
            accepted = {
                action: counts["accepted"] for action, counts in cloud.actions(vm.openstack_id).items()
            }
            assert accepted == {"create": 1, "os-stop": 1, "os-start": 1}
        assert not EntityLock.objects.exists()
        # The pool, and the leader's session.
        assert sessions()[0] <= POOL_SIZE + 1

        export = requests.get(f"{portal.url}/api/v1/vms/export/", headers=authorization, timeout=60)
        assert export.text.count("shop-") == VMS
        (leader,) = [process for process, log in beats if "beat_leads" in log.read_text()]
        launch.kill(launch.process_tree(leader.pid))
        wait_for("the other leads", lambda: all("beat_leads" in log.read_text() for log in logs), 60)
        before = PeriodicTask.objects.get(name="tasks.sweep").total_run_count
        wait_for(
            "and sends the task",
            lambda: PeriodicTask.objects.get(name="tasks.sweep").total_run_count > before,
            30,
        )
        time.sleep(2.5)  # As long as a beat waits before it tries to lead.
        assert sessions()[1] == 1
