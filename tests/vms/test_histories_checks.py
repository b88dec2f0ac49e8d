"""The invariants of the histories of `test_histories.py`, after every event and at the end.

A trigger records every write of the columns that the sync writes, with the writer, whether a job held the row, and whether
the row had been written since the sync began.
"""

from __future__ import annotations

from collections import Counter

from django.conf import settings
from django.db import connection

from tasks.models import ENDED, EntityLock, Job
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from volumepool.models import Volume

OBSERVE = """
DROP TABLE IF EXISTS observed_write;
CREATE TABLE observed_write (
    id bigserial, vm_id uuid, writer text, held boolean, newer boolean, old_status text, new_status text);
CREATE OR REPLACE FUNCTION observe_write() RETURNS trigger AS $$
BEGIN
    IF current_setting('portal.writer', true) <> 'time' AND
       (OLD.status, OLD.ip_address, OLD.mac_address, OLD.addresses, OLD.fault, OLD.moving, OLD.reading,
        OLD.missing_count, OLD.observed_at) IS DISTINCT FROM
       (NEW.status, NEW.ip_address, NEW.mac_address, NEW.addresses, NEW.fault, NEW.moving, NEW.reading,
        NEW.missing_count, NEW.observed_at) THEN
        INSERT INTO observed_write (vm_id, writer, held, newer, old_status, new_status) VALUES (
            OLD.id, current_setting('portal.writer', true),
            EXISTS (SELECT 1 FROM tasks_entitylock WHERE key = 'vm:' || OLD.id),
            OLD.written_at > current_setting('portal.sync_began', true)::timestamptz, OLD.status, NEW.status);
    END IF;
    RETURN NULL;
END $$ LANGUAGE plpgsql;
DROP TRIGGER IF EXISTS observe ON vms_virtualmachine;
CREATE TRIGGER observe AFTER UPDATE ON vms_virtualmachine FOR EACH ROW EXECUTE FUNCTION observe_write();
"""
STOP_OBSERVING = """
DROP TRIGGER IF EXISTS observe ON vms_virtualmachine; DROP FUNCTION IF EXISTS observe_write;
DROP TABLE IF EXISTS observed_write;
"""
_MISSING = "Not found in two syncs in a row."


# Written down once more, so that a word which the portal forgets is noticed.
WORDS = {
    **dict.fromkeys(
        [
            "ACTIVE",
            "PASSWORD",
            "REBOOT",
            "HARD_REBOOT",
            "MIGRATING",
            "VERIFY_RESIZE",
            "REVERT_RESIZE",
            "RESIZE",
        ],
        "running",
    ),
    "BUILD": "building",
    "REBUILD": "building",
    "SHUTOFF": "stopped",
    "PAUSED": "paused",
    "RESCUE": "rescue",
    "SUSPENDED": "suspended",
    "SHELVED": "shelved",
    "SHELVED_OFFLOADED": "shelved",
    "DELETED": "removed",
    "SOFT_DELETED": "removed",
    "ERROR": "error",
    "UNKNOWN": "unknown",
}


def check():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT vm_id, writer, held, newer, old_status, new_status FROM observed_write ORDER BY id"
        )
        writes = cursor.fetchall()
    transitions = {}
    for vm_id, writer, held, newer, old, new in writes:
        if writer == "sync":
            assert not held, f"The sync wrote {vm_id}, which a job holds: {old} -> {new}"
            assert not newer, f"The sync wrote {vm_id} over something newer: {old} -> {new}"
            if old != new:
                transitions.setdefault(vm_id, []).append(f"{old} -> {new}")
    logged = {}
    entries = VMOperationLog.objects.order_by("id")
    for vm_id, detail in entries.filter(operation="sync").values_list("vm_id", "detail"):
        logged.setdefault(vm_id, []).append(detail)
    assert transitions.keys() == logged.keys(), (transitions, logged)
    for vm_id, details in logged.items():
        for detail, transition in zip(details, transitions[vm_id], strict=True):
            assert detail == transition or (detail == _MISSING and transition.endswith("-> error"))
    check_jobs(entries)


def check_jobs(entries):
    jobs = {job.pk: job for job in Job.objects.all()}
    counted = Counter(entries.exclude(job_id=None).values_list("job_id", flat=True))
    for job in jobs.values():
        said = f"{job.kind} {job.subject} {job.status} {job.outcome_message} {job.traceback}"
        assert job.status not in {"errored", "stuck"}, said
        own = job.kind.startswith("vms.") and job.kind not in {"vms.remove_volumes", "vms.remove_orphan"}
        assert counted[job.pk] == (own and job.status in ENDED), said
    for job_id, success in entries.exclude(job_id=None).values_list("job_id", "success"):
        assert success == (jobs[job_id].status == "succeeded")
    for lock in EntityLock.objects.select_related("job"):
        assert lock.job.status not in ENDED, lock.key


def check_losses(run, lost, held, total):
    """Check mass losses: more than a third and at least two newly missing VMs mark none; fewer are marked the second time."""
    # What a listing of changes shows as deleted is not missing; what a job holds may go by our own doing.
    removed = set(
        VirtualMachine.objects.filter(pk__in=lost, status=VMStatus.REMOVED).values_list("pk", flat=True)
    )
    lost = {pk: vm for pk, vm in lost.items() if pk not in removed}
    sudden = sum(vm.missing_count == 0 for pk, vm in lost.items() if pk not in held)
    is_a_mass_loss = sudden >= 2 and sudden > (total - len(removed)) * settings.VM_SYNC_MASS_LOSS_SHARE
    assert is_a_mass_loss == (run.state == "failed"), (sudden, total, len(removed), run.message)
    for pk, vm in lost.items():
        now = VirtualMachine.objects.get(pk=pk)
        count, expected = vm.missing_count, vm.status
        if run.state == "success" and pk not in held and vm.status != VMStatus.ERROR:
            count, expected = count + 1, VMStatus.ERROR if count else vm.status
        if vm.status != VMStatus.ERROR:
            assert (now.missing_count, now.status) == (count, expected), (run.state, vm.openstack_id)


def compare(listed, *, noted=False):
    for vm in VirtualMachine.objects.select_related("resize"):
        assert vm.openstack_id is not None, f"{vm.name} has no server"
        server = listed.get(vm.openstack_id)
        if server is None:
            assert vm.status in {"removed", "error"} or (noted and vm.missing_count), (vm.name, vm.status)
            continue
        addresses = [
            (network, entry["addr"], entry["OS-EXT-IPS-MAC:mac_addr"], entry["OS-EXT-IPS:type"])
            for network, entries in server["addresses"].items()
            for entry in entries
        ]
        first = next((a for a in addresses if a[3] == "fixed"), ("", None, "", ""))
        expected = {
            "status": WORDS.get(server["status"], vm.status),
            "address": (first[1], first[2]),
            "addresses": sorted(addresses),
            "fault": (server.get("fault") or {}).get("message", ""),
            "moving": server["OS-EXT-STS:task_state"] is not None,
            "missing": 0,
            "resized": server["status"] == "VERIFY_RESIZE" and vm.pending_resize is not None,
        }
        found = {
            "status": vm.status,
            "address": (vm.ip_address, vm.mac_address),
            "addresses": sorted((a["network"], a["ip"], a["mac"], a["kind"]) for a in vm.addresses),
            "fault": vm.fault,
            "moving": vm.moving,
            "missing": vm.missing_count,
            "resized": vm.pending_resize is not None,
        }
        assert found == expected, (vm.name, vm.openstack_id)


def compare_volumes(listed, objects):
    """Check that each volume is attached as its row says, and that the cloud has no object of the portal without a row."""
    on = {
        volume["id"]: server_id
        for server_id, server in listed.items()
        for volume in server["os-extended-volumes:volumes_attached"]
    }
    rows = {row.volume_id: row for row in Volume.objects.select_related("vm")}
    ours = {v["id"] for v in objects["volumes"] if v["metadata"].get("portal") == settings.CLOUD_TAG}
    assert rows.keys() == ours, "Volumes and their rows differ."
    for volume_id, row in rows.items():
        server_id = row.vm.openstack_id if row.vm else None
        assert on.get(volume_id) == server_id or server_id not in listed, (row.name, on.get(volume_id))
    bound = set(VirtualMachine.objects.values_list("openstack_id", flat=True))
    marked = {server_id for server_id, server in listed.items() if settings.CLOUD_TAG in server["tags"]}
    assert marked <= bound, "A server of ours has no row."
