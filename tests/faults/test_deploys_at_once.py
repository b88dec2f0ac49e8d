"""Fifty operators deploy to overlapping hosts at the same moment, each on a connection of its own.

How long they wait for each other in the database is measured by `python -m bench deploy`, over REST and with processes:
threads of one process wait for its interpreter most of the time, with their locks in hand.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import QuerySet

from api.domain_errors import DomainError
from api.errors import status_of
from deploys.executors import Code, Outcome
from deploys.executors.command import CommandExecutor
from deploys.models import Deployment, DeploymentItem, MicroServiceInstance
from deploys.services.deployments import Plan
from tasks import dispatch
from tasks.models import EntityLock
from tests.deploys.deploying import Company
from tests.working import work

pytestmark = pytest.mark.django_db(transaction=True)

OPERATORS = 50
# So many requests a web process serves at once; the other operators wait for a thread.
THREADS = 8
HOSTS = 12
LABELS = ("1.0", *(f"2.{n}" for n in range(OPERATORS)))


@pytest.fixture
def company(tmp_path, settings, monkeypatch):
    """A service on twelve hosts in version 1.0, with fifty newer versions and an executor that succeeds at once."""
    settings.DEPLOY_PROGRAMS = {"files": ["/bin/true"]}
    monkeypatch.setattr(dispatch, "_send", lambda *args: None)

    def put(_executor, order, _on_line, **_more):
        """Deploy as the program does, without a process."""
        (tmp_path / f"runs-{order.target.name}").write_text(f"{order.release.label}\n")
        return Outcome(Code.OK, "", order.release.label)

    monkeypatch.setattr(CommandExecutor, "deploy", put)
    return Company(tmp_path, labels=LABELS, hosts=HOSTS)


def deploy_together(company, selections):
    """Deploy a different version to each selection of hosts at once, and return the answers."""
    operators = [company.operator(f"operator-{n}") for n in range(len(selections))]
    together = threading.Barrier(THREADS)

    def ask(n):
        try:
            if n < THREADS:
                connection.ensure_connection()
                together.wait(30)
            return company.deploy("1.0", LABELS[n + 1], hosts=selections[n], scope=operators[n], batch=4)
        except DomainError as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as people:
        return list(people.map(ask, range(len(selections))))


def count_accepted(answers):
    """Return how many accepted deployments each instance has."""
    plans = [answer for answer in answers if isinstance(answer, Plan)]
    return Counter(instance.pk for plan in plans for batch in plan.batches for instance in batch)


def test_fifty_operators_on_the_same_hosts_end_with_one_version_on_each(company):
    chance = random.Random(1)
    answers = deploy_together(company, [chance.sample(range(HOSTS), 4) for _ in range(OPERATORS)])
    granted = [answer.deployment for answer in answers if isinstance(answer, Plan)]
    refused = [answer for answer in answers if isinstance(answer, DomainError)]
    took = count_accepted(answers)
    work(60)

    # Nobody shares a host, and who was refused was told by whom and since when.
    assert granted
    assert set(took.values()) == {1}
    assert {(status_of(one), one.code) for one in refused} == {(409, "locked")}
    since = {str(one.pk): one.created_at.isoformat(timespec="seconds") for one in granted}
    holders = {str(one.pk): one.operator.username for one in granted}
    for held in (held for answer in refused for held in answer.details["instances"]):
        assert held["operator"] == holders[held["deployment"]]
        assert held["since"] == since[held["deployment"]]
    # What the database says is what runs, and the history tells which deployment it was, and whose.
    assert company.running() == company.recorded()
    company.assert_nothing_is_held()
    assert not EntityLock.objects.exists()
    for instance in MicroServiceInstance.objects.select_related("updated_by"):
        items = list(DeploymentItem.objects.filter(instance=instance).select_related("deployment__operator"))
        assert len(items) == took[instance.pk]
        assert all(item.deployment.to_version_id == instance.version_id for item in items)
        assert all(item.deployment.operator == instance.updated_by for item in items)
    assert Deployment.objects.count() == len(granted)


def test_without_the_locks_the_same_host_is_promised_to_many(company, monkeypatch):
    """The first test would fail without the locks on rows and on instances."""
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_options: rows)
    monkeypatch.setattr("deploys.commands.DeployServiceCommand.locks", lambda _command: [])

    answers = deploy_together(company, [[0]] * THREADS)

    assert max(count_accepted(answers).values()) > 1
