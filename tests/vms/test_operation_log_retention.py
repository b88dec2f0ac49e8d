"""Old entries of the operation log are deleted where an operator has set how long they are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import VirtualMachineFactory
from vms.models import VMOperationLog
from vms.services.operation_log import prune_operation_log
from vms.tasks import prune_old_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def entries():
    """Three entries of three days ago, and two of today."""
    vm, now = VirtualMachineFactory(), timezone.now()
    entries = [VMOperationLog.of(vm, VMOperationLog.Operation.START) for _ in range(5)]
    for entry, days in zip(entries, (3, 3, 3, 0, 0), strict=True):
        entry.at = now - timedelta(days=days)
    return VMOperationLog.objects.bulk_create(entries)


def test_all_are_kept_by_default(entries):
    prune_old_rows()

    assert VMOperationLog.objects.count() == len(entries)


@pytest.mark.parametrize("batch", [1, 2, 3, 10])
def test_older_ones_go_batch_by_batch(entries, settings, batch):
    settings.OPERATION_LOG_RETENTION_DAYS = 2

    assert prune_operation_log(batch) == 3
    assert list(VMOperationLog.objects.order_by("pk")) == entries[3:]
    assert prune_operation_log(batch) == 0


def test_the_scheduled_task_deletes_them(entries, settings):
    settings.OPERATION_LOG_RETENTION_DAYS = 2

    prune_old_rows()

    assert VMOperationLog.objects.count() == 2
