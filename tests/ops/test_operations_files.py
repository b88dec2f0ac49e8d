"""Alerts, dashboards and runbook fit together, and fit what `/metrics` really gives."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from datetime import timedelta

import pytest
import yaml
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client.parser import text_string_to_metric_families

from api.replica.reads import READS
from api.replica.status import ReplicaState, ReplicaStatus, watch
from tasks import canary, engine, queues
from tasks.models import Job
from tests.factories import ScheduledAccountFactory, SpareVolumeFactory
from tests.tasks import external_system
from tests.working import wait_for, work
from vms.sync.status import sync_region
from volumepool.models import Claim

from .operations_files import (
    DASHBOARDS,
    MONITORING,
    PROMETHEUS,
    RUNBOOK,
    find_groupings,
    find_selectors,
    list_expressions,
    read_alerts,
    read_dashboards,
)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed; on Debian: apt-get install prometheus",
)


@pytest.fixture
def exposed(client, account, monkeypatch, settings):
    """The metrics of a portal in which everything has happened once: the labels of each sample."""
    monkeypatch.setattr(queues, "_broker", queues.BackgroundProbe(queues._fetch_broker_status))
    # Without a worker nobody has been seen.
    queues.WORKER_SEEN.mark("jobs")
    settings.HAS_DATABASE_REPLICA = True
    monkeypatch.setattr(watch, "_status", ReplicaStatus(ReplicaState.IN_USE, 0.1, time.monotonic() + 600))
    READS.increment("replica", "")
    external_system.reset()
    ScheduledAccountFactory()
    pool = SpareVolumeFactory().pool
    Claim.objects.create(pool=pool, taken=1, made=0)
    sync_region(account.pk, "RegionOne")
    engine.sweep()
    canary.send_canary()
    work()
    with transaction.atomic():
        job = engine.submit(external_system.BuildHouseCommand()).job
    Job.objects.filter(pk=job.pk).update(status="stuck", not_before=timezone.now() - timedelta(hours=1))
    interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="any", task="tasks.sweep", interval=interval, last_run_at=timezone.now())
    client.get("/health/live")
    wait_for("the first answer of the broker", queues.broker_status)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").content.decode()):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.django_db(transaction=True)
def test_every_expression_names_metrics_and_labels_that_exist(exposed):
    named = set()
    for place, expression in list_expressions():
        selectors = list(find_selectors(expression))
        assert selectors or expression.startswith("up"), f"{place} selects nothing: {expression}"
        known = {"instance", "job", "objects"}
        for metric, labels in selectors:
            assert metric in exposed, f"{place} names {metric}, which /metrics does not give."
            assert set(labels) <= exposed[metric], f"{place}: {metric} has no label {labels}."
            known |= exposed[metric]
            named.add(metric)
        assert find_groupings(expression) <= known, place

    # Each metric that is given stands on the page, and the page invents none.
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed}
    table = set(re.findall(r"^\| `(portal_\w+)", MONITORING.read_text(), re.MULTILINE))
    assert table == bases
    assert len(named) > 30


def test_every_alert_has_its_section_of_the_runbook_and_every_section_an_alert():
    alerts = read_alerts()
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)

    assert sections == [alert["alert"] for alert in alerts]
    assert len(set(sections)) == len(sections) > 15
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/alerts.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["for"]
        assert alert["annotations"]["description"].endswith(".")
    links = re.findall(r"\]\(#(\w+)\)", RUNBOOK.read_text())
    assert set(links) <= {section.lower() for section in sections}


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent():
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fires, is_silent = set(), set()
    for test in tests:
        for case in test["alert_rule_test"]:
            (fires if case.get("exp_alerts") else is_silent).add(case["alertname"])

    assert fires == is_silent == {alert["alert"] for alert in read_alerts()}


def test_dashboards_can_be_loaded_side_by_side():
    dashboards = read_dashboards()

    assert len(dashboards) == len(DASHBOARDS) >= 3
    assert max(Counter(dashboard["uid"] for dashboard in dashboards.values()).values()) == 1
    for name, dashboard in dashboards.items():
        assert "id" not in dashboard, f"{name}: Grafana numbers dashboards itself."
        assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource"]
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken = set()
        for panel in panels:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            at = panel["gridPos"]
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, f"{name}: {panel['title']} lies on another panel."
            assert max(x for x, _y in cells) < 24
            taken |= cells


@needs_promtool
def test_prometheus_takes_the_alerts_and_the_example(tmp_path):
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    (tmp_path / "token").write_text("of-the-metrics")
    example = (PROMETHEUS / "prometheus.yml").read_text()
    token = "/etc/prometheus/portal-metrics-token"
    assert token in example
    (tmp_path / "prometheus.yml").write_text(example.replace(token, str(tmp_path / "token")))

    # It checks the files of rules that the configuration names, too.
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(read_alerts())} rules found" in checked.stdout
