"""The examples on the page about writing commands run as they are printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tasks import command, polling
from tasks.engine import advance, cancel
from tasks.models import EntityLock, Job, JobLogLine, JobStatus
from tests.tasks.test_engine import its_worker_died
from tests.working import poll_scopes

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"


@pytest.fixture
def page(monkeypatch):
    """The names that the code blocks of the page define. Its commands are registered for one test only."""
    monkeypatch.setattr(command, "_registry", dict(command._registry))
    monkeypatch.setattr(polling, "_watchers", dict(polling._watchers))
    module = ModuleType("docs_commands_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - code of our own documentation.
    return module.__dict__


def run_jobs(page):
    """Advance every job to its end, with an archive that finishes a copy at the first poll."""
    for _ in range(100):
        jobs = Job.objects.filter(status__in=["queued", "waiting", "running", "undoing"])
        if not jobs:
            return
        for job in jobs:
            advance(job.pk)
        for backup in page["archive"].backups.values():
            backup["status"] = "complete" if backup["status"] == "copying" else backup["status"]
        poll_scopes()
    raise AssertionError("jobs did not end")


def test_every_job_of_the_page_succeeds(page):
    run_jobs(page)

    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}
    names = ["orders", "orders_of_2025", "orders_of_2026", "stock", "users"]
    assert sorted(page["finished"]) == names
    assert sorted(name[:-9] for name in page["archive"].backups) == names
    assert page["refused"] == ["bad_name"]
    assert JobLogLine.objects.get(job=page["tree"]).message.startswith("Kept as orders_of_2025-")
    assert not EntityLock.objects.exists()


def test_a_copy_that_fails_is_deleted_and_fails_its_tree(page):
    advance(page["tree"].pk)
    for child in Job.objects.filter(parent=page["tree"]):
        advance(child.pk)
    broken = next(name for name in page["archive"].backups if name.startswith("orders_of_2026"))
    page["archive"].backups[broken]["status"] = "failed"

    run_jobs(page)

    assert Job.objects.get(pk=page["tree"].pk).status == JobStatus.FAILED
    assert not [name for name in page["archive"].backups if name.startswith("orders_of")]


def test_a_copy_whose_worker_died_is_not_made_twice(page, monkeypatch):
    class Killed(BaseException):
        pass

    def die(self, name, tag):
        self.backups[name] = {"tag": tag, "status": "copying"}
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(page["Archive"], "create", die)
        advance(page["job"].pk)
    its_worker_died(page["job"])
    run_jobs(page)

    assert len([name for name in page["archive"].backups if name.startswith("orders-")]) == 1
    assert Job.objects.get(pk=page["job"].pk).steps.first().message == "It had been begun before."


def test_a_cancelled_copy_is_deleted(page):
    advance(page["job"].pk)
    assert cancel(Job.objects.get(pk=page["job"].pk))

    advance(page["job"].pk)

    assert "orders: cancelled" in page["finished"]
    assert not [name for name in page["archive"].backups if name.startswith("orders-")]
