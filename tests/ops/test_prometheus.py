"""A real Prometheus reads a real web process, and its alerts fire under real faults and are silent without."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests
import yaml
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from devserver import launch
from tasks import engine, queues
from tasks.models import EntityLock, Job
from tests.factories import ScheduledAccountFactory, VirtualMachineFactory
from tests.servers import free_port
from tests.tasks import external_system
from tests.web_processes import start_web_process
from tests.working import wait_for
from vms.models import SyncState

from .operations_files import PROMETHEUS, read_alerts

pytestmark = [
    pytest.mark.story,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus or promtool is not installed; on Debian: apt-get install prometheus",
    ),
]


def run_rule_tests(folder):
    return subprocess.run(
        ["promtool", "test", "rules", folder / "alerts_test.yml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_alert_fires_under_its_fault_and_is_silent_without():
    tested = run_rule_tests(PROMETHEUS)

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_an_alert_that_never_fires_and_one_that_always_does_fail_the_rule_tests(tmp_path):
    for expression in ("vector(0) > 1", "vector(1)"):
        shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
        rules = yaml.safe_load((tmp_path / "alerts.yml").read_text())
        for rule in rules["groups"][0]["rules"]:
            rule["expr"] = expression
        (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))

        failed = run_rule_tests(tmp_path)

        assert failed.returncode != 0
        for alert in read_alerts():
            assert f"alertname: {alert['alert']}, " in failed.stdout + failed.stderr, alert["alert"]


class RunningPrometheus:
    """A Prometheus that scrapes and evaluates every second; what an alert has to last is two seconds."""

    def __init__(self, url):
        self.url = url

    def get(self, path):
        return requests.get(f"{self.url}/api/v1/{path}", timeout=10).json()["data"]

    def firing(self):
        """The labels of the alerts that fire, by name."""
        return {
            alert["labels"]["alertname"]: alert["labels"]
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def has_seen(self, expression):
        return self.get(f"query?query={requests.utils.quote(expression)}")["result"]

    def wait_for_alerts(self, names):
        """Wait until exactly these alerts fire, and have done so for several evaluations."""
        since = None

        def is_steady():
            nonlocal since
            if set(self.firing()) != set(names):
                since = None
            elif since is None:
                since = time.monotonic()
            return since is not None and time.monotonic() - since > 4

        try:
            wait_for("the alerts", is_steady, 90)
        except AssertionError:
            raise AssertionError(f"{sorted(names)} should fire, and {self.firing()} do.") from None


@contextmanager
def start_prometheus(folder, target):
    """Run Prometheus with the example's configuration, changed to this target and to seconds instead of minutes."""
    (folder / "token").write_text("of-the-metrics")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job |= {"scheme": "http", "scrape_timeout": "1s", "static_configs": [{"targets": [target]}]}
    job["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = re.sub(r"^( +for: )\w+$", r"\g<1>2s", (PROMETHEUS / "alerts.yml").read_text(), flags=re.MULTILINE)
    (folder / "alerts.yml").write_text(rules)
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    process = launch.start(
        [
            shutil.which("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        log=log,
        folder=folder,
        when_parent_dies=signal.SIGKILL,
    )
    prometheus = RunningPrometheus(f"http://{address}")

    def is_ready():
        assert process.poll() is None, launch.read_last_lines(log, 40)
        try:
            return requests.get(f"{prometheus.url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_for("Prometheus is ready", is_ready, 60)
        yield prometheus
    finally:
        launch.end(process, stop_signal=signal.SIGTERM, seconds=10)


@pytest.mark.timeout(600)
def test_alerts_fire_while_the_faults_last(celery_worker, tmp_path):
    external_system.reset()
    interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    schedule = PeriodicTask.objects.create(name="any", task="tasks.sweep", interval=interval)
    account = ScheduledAccountFactory(name="north")
    VirtualMachineFactory(account=account, region="RegionOne", openstack_id="server-1")
    state = SyncState.objects.create(account=account, region="RegionOne")

    def keep_well():
        now = timezone.now()
        PeriodicTask.objects.filter(pk=schedule.pk).update(last_run_at=now)
        SyncState.objects.filter(pk=state.pk).update(listed_at=now)
        Job.objects.all().delete()
        EntityLock.objects.all().delete()

    keep_well()
    celery_worker(queues=",".join(queues.known_queues()))
    with (
        start_web_process(tmp_path, threads=4, environment={"METRICS_TOKEN": "of-the-metrics"}) as portal,
        start_prometheus(tmp_path, portal.url.removeprefix("http://")) as prometheus,
    ):
        wait_for(
            "Prometheus has read the metrics",
            lambda: prometheus.has_seen("portal_beat_age_seconds and on () portal_queue_workers == 1"),
            60,
        )
        keep_well()
        prometheus.wait_for_alerts([])

        # Beat has ended, a cloud is silent, a job is stuck, and the message of another job is lost.
        long_ago = timezone.now() - timedelta(hours=1)
        PeriodicTask.objects.filter(pk=schedule.pk).update(last_run_at=long_ago)
        SyncState.objects.filter(pk=state.pk).update(listed_at=long_ago)
        with transaction.atomic():
            stuck, lost = engine.submit_many(
                [engine.Spec(external_system.BuildHouseCommand(key)) for key in ("stuck", "lost")]
            )
            Job.objects.filter(pk=stuck.job.pk).update(status="stuck")
            # Due for the portal; a worker that gets the message finds that it is owned.
            Job.objects.filter(pk=lost.job.pk).update(
                queue="deploys", not_before=long_ago, owner="dead", lease_until=long_ago, status="queued"
            )
            transaction.get_connection().run_on_commit.clear()
        prometheus.wait_for_alerts(
            ["PortalBeatSilent", "PortalSyncStale", "PortalJobsStuck", "PortalQueueOld"]
        )
        firing = prometheus.firing()
        assert firing["PortalQueueOld"]["queue"] == "deploys"
        assert firing["PortalSyncStale"]["objects"] == "VMs"

        keep_well()
        prometheus.wait_for_alerts([])

        launch.end(portal.process, stop_signal=signal.SIGQUIT, seconds=5)
        prometheus.wait_for_alerts(["PortalTargetDown"])
