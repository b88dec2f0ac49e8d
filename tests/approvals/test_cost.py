"""What the gate costs a command that no policy names."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks import operations
from tests.factories import VirtualMachineFactory
from vms.models import VMStatus

from .test_requests import stop

pytestmark = pytest.mark.django_db


def test_a_command_without_a_policy_costs_one_more_statement(admin, system, monkeypatch):
    def count_statements():
        vm = VirtualMachineFactory(information_system=system, status=VMStatus.RUNNING)
        stop(admin, VirtualMachineFactory(information_system=system, status=VMStatus.RUNNING))
        with CaptureQueriesContext(connection) as captured:
            assert stop(admin, vm).status_code == 202
        return len(captured)

    gated = count_statements()
    monkeypatch.setattr(operations, "_gates", [])

    assert gated == count_statements() + 1
