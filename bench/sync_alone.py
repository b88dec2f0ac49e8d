"""`python -m bench.sync_alone ACCOUNT [resources]`: run one full sync, and print by how many megabytes this process grew.

It is the status sync of VMs, or the sync of every type of resource. The process logs in and lists a page before it is
measured, so that the memory of libraries is not counted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import django


def main(account_id: int, kind: str = "vms") -> None:
    """Print the growth of the peak of this process's resident memory."""
    django.setup()
    from cloudaccounts.connect import open_cloud
    from cloudaccounts.models import CloudAccount
    from cloudaccounts.registry import list_synced_types
    from cloudaccounts.sync.resources import sync_resource
    from portal.celery import freeze_garbage_collector
    from vms.sync.status import sync_region

    freeze_garbage_collector()
    account = CloudAccount.objects.get(pk=account_id)
    next(iter(open_cloud(account, "RegionOne").compute.reading_pages(page_size=1)))
    # Not `getrusage`: its peak survives `exec`, so it would be that of the parent process.
    Path("/proc/self/clear_refs").write_text("5")  # Reset the peak.
    before = _peak_kilobytes()
    if kind == "vms":
        run = sync_region(account_id, "RegionOne", full=True)
        assert run is not None
        assert run.state == "success", run.message
    else:
        for type_code in list_synced_types(account):
            log = sync_resource(account_id, type_code)
            assert log is not None
            assert log.state == "success", log.message
    print((_peak_kilobytes() - before) / 1024)


def _peak_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
