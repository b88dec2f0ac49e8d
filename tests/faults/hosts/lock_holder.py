"""`python -m tests.faults.hosts.lock_holder ROW`: lock the row of a VM in a transaction, and stay in it until the end.

It stands for a process of the portal whose host disappears in the middle of a transaction. It connects as the portal does.
"""

from __future__ import annotations

import sys
import time

LOCKED = "locked"


def main() -> None:
    """Hold the lock until this process or its connection ends."""
    import django

    django.setup()
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM vms_virtualmachine WHERE id = %s FOR UPDATE", [sys.argv[1]])
        sys.stdout.write(f"{LOCKED}\n")
        sys.stdout.flush()
        time.sleep(3600)


if __name__ == "__main__":
    main()
