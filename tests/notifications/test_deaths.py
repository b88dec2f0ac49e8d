"""A delivery run that is killed at each of its points: no event is lost, and what comes twice has the same message ID."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import timezone

from notifications import delivering
from notifications.models import DeliveryRun
from tests.notifications.receiver import Receiver
from tests.notifications.test_webhooks import make_webhook, names_of, record, status_of
from tests.web_processes import get_test_database_url

pytestmark = pytest.mark.django_db(transaction=True)
REPOSITORY = Path(__file__).resolve().parent.parent.parent
DELIVER = "import django; django.setup(); from notifications.delivering import deliver; deliver()"


@pytest.mark.story
@pytest.mark.parametrize("point", delivering.CRASH_POINTS)
def test_a_run_that_is_killed_loses_nothing_and_doubles_nothing_unseen(
    receiver: Receiver, tmp_path: Path, point: str
) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a", "b", "c")

    killed = subprocess.run(
        [sys.executable, "-c", DELIVER],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DATABASE_URL": get_test_database_url(),
            "PORTAL_CRASH_AT": f"{point}:{tmp_path}/died",
        },
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert delivering.deliver() == 0  # The dead run's lease holds.
    DeliveryRun.objects.update(lease_until=timezone.now())
    record(webhook, "d")
    delivering.deliver()

    by_id = {one.headers["webhook-id"]: one for one in receiver.received}
    assert [one.json["data"]["object"]["name"] for one in by_id.values()] == ["a", "b", "c", "d"]
    twice = ["a", "b", "c"] if point == "delivery_sent" else []
    assert names_of(receiver.received) == ["a", "b", "c", *twice, "d"]
    assert [status for status, _attempts in status_of(webhook)] == ["delivered"] * 4
