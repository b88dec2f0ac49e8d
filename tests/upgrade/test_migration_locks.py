"""A large database of the previous release is migrated under load, and no request waits long for a lock."""

from __future__ import annotations

import os
import sys

import pytest

from .lock_watch import fill_database, watch_requests
from .test_upgrade import database_url, run_program

__all__ = ["database_url"]

VMS = int(os.environ.get("MIGRATION_VMS", "20000"))
JOBS = int(os.environ.get("MIGRATION_JOBS", "200000"))
LONGEST_WAIT_SECONDS = 1.0


@pytest.mark.story
@pytest.mark.timeout(3600)
def test_no_request_waits_long_while_a_large_database_is_migrated(database_url, tmp_path):
    fill_database(database_url, VMS, JOBS)

    with watch_requests(database_url) as waits:
        run_program(database_url, tmp_path, "manage.py", "migrate", "--no-input", "-v", "0")

    longest = waits.find_longest(database_url)
    lines = [f"{seconds:7.3f} s  {table:30} {migration}" for seconds, table, migration in longest[:12]]
    sys.stdout.write("\n".join([f"{VMS} VMs, {JOBS} jobs, {waits.statements} statements", *lines, ""]))
    assert waits.errors == []
    assert waits.statements > 0
    assert max((seconds for seconds, *_where in longest), default=0.0) < LONGEST_WAIT_SECONDS, lines
