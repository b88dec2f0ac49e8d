"""Nova's record of a request."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from openstack_client import ServerEvent
from vms.commands.server_history import has_failed, is_worked_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(name, *, result=None):
    return ServerEvent(name, NOW, NOW if result else None, result)


@pytest.mark.parametrize(
    ("events", "worked_on", "failed"),
    [
        ([], False, False),
        ([event("compute_stop_instance")], True, False),
        ([event("compute_stop_instance", result="Success")], False, False),
        ([event("compute_attach_volume", result="Error")], False, True),
        # Seen on a real cloud: a conductor was killed, and nobody will end what it had begun.
        ([event("cold_migrate"), event("conductor_migrate_server")], False, False),
        ([event("compute_prep_resize"), event("cold_migrate", result="Success")], True, False),
        ([event("compute_resize_instance", result="Error"), event("compute_finish_resize")], True, False),
    ],
)
def test_who_works_on_a_request_and_whether_it_failed(events, worked_on, failed):
    assert (is_worked_on(events), has_failed(events)) == (worked_on, failed)
