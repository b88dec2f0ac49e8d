"""A watch that nothing decides: the step looks at the other side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import transaction
from django.utils import timezone

from tasks import engine, polling
from tasks.command import STALLED_AFTER, Command, Failed, Result, Wait, Watch, register, step
from tasks.models import AsyncTask, Job, JobStatus, Step

from . import external_system

pytestmark = pytest.mark.django_db(transaction=True)


@register
@dataclass
class GrowInVain(Command):
    """Waits for what may never come."""

    key: str = "oak"

    kind: ClassVar[str] = "test.grow_in_vain"
    title: ClassVar[str] = "Grow"

    @step
    def see_it_grown(self) -> Result:
        external_system.calls.append("watch")
        return Watch("thing", "garden", self.key, until=frozenset({"grown"}), unless=frozenset({"dead"}))

    @see_it_grown.stalled
    def dig(self) -> Result:
        return external_system.run_scripted(self, "dig")

    @step
    def then(self) -> Result:
        return external_system.run_scripted(self, "then")

    def explain(self, status: str, fault: str) -> str:
        return {"dead": "It was the frost."}.get(status, "")


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


@pytest.fixture
def job():
    external_system.objects["oak"] = "small"
    with transaction.atomic():
        job = engine.submit(GrowInVain()).job
    engine.advance(job.pk)
    return job


def now_is_late(job):
    """As if nothing had been decided for long, and the job were due for it."""
    past = timezone.now() - STALLED_AFTER
    AsyncTask.objects.filter(verdict="open").update(created_at=past)
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    engine.advance(job.pk)
    return Job.objects.get(pk=job.pk)


def test_a_watch_is_asked_about_in_time_and_not_before(job):
    due = Job.objects.get(pk=job.pk).not_before

    assert abs(due - timezone.now() - STALLED_AFTER) < timedelta(seconds=5)
    Job.objects.update(not_before=timezone.now())
    engine.advance(job.pk)
    assert external_system.calls == ["watch"]


def test_waiting_goes_on_with_the_same_watch_and_says_why(job):
    external_system.replies["dig"] = [Wait(20, "The roots are alive.")]

    waiting = now_is_late(job)

    assert waiting.status == JobStatus.WAITING
    assert timedelta(seconds=15) < waiting.not_before - timezone.now() < timedelta(seconds=21)
    assert Step.objects.get(job=job, position=0).message == "The roots are alive."
    external_system.objects["oak"] = "grown"
    AsyncTask.objects.update(next_look_at=timezone.now())
    polling.poll("thing", "garden")
    engine.advance(job.pk)
    assert Job.objects.get(pk=job.pk).status == JobStatus.SUCCEEDED
    assert external_system.calls == ["watch", "dig*", "then"]


def test_what_has_come_about_unseen_is_done(job):
    assert now_is_late(job).status == JobStatus.SUCCEEDED
    assert [task.verdict for task in AsyncTask.objects.all()] == ["dropped"]


def test_what_will_not_come_ends_the_job(job):
    external_system.replies["dig"] = [Failed("lost", "Nobody planted it.")]

    ended = now_is_late(job)

    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "lost")


@pytest.mark.parametrize("answer", [RuntimeError("a bug"), Watch("thing", "garden", "elm", frozenset({"x"}))])
def test_a_mistake_in_the_question_decides_nothing(job, answer):
    external_system.replies["dig"] = [answer]

    assert now_is_late(job).status == JobStatus.WAITING
    assert AsyncTask.objects.get().verdict == "open"


def test_an_outside_that_answers_again_is_looked_at_without_waiting_for_the_back_off(job):
    external_system.objects["oak"] = "grown"
    external_system.outages.append(polling.PollError("away", 600.0))
    AsyncTask.objects.update(next_look_at=timezone.now())
    polling.poll("thing", "garden")
    external_system.outages.clear()
    external_system.replies["dig"] = [Wait(1.0)]

    now_is_late(job)

    assert AsyncTask.objects.get().next_look_at <= timezone.now()
    polling.poll("thing", "garden")
    engine.advance(job.pk)
    assert Job.objects.get(pk=job.pk).status == JobStatus.SUCCEEDED


def test_what_the_poller_decides_meanwhile_counts(job):
    def grows_now(command):
        external_system.objects["oak"] = "grown"
        AsyncTask.objects.update(next_look_at=timezone.now())
        polling.poll("thing", "garden")
        return Failed("lost", "Nobody planted it.")

    external_system.replies["dig"] = [grows_now]

    assert now_is_late(job).status == JobStatus.SUCCEEDED


def test_a_command_explains_what_the_outside_has_decided(job):
    external_system.objects["oak"] = "dead"
    AsyncTask.objects.update(next_look_at=timezone.now())
    polling.poll("thing", "garden")

    engine.advance(job.pk)

    assert Job.objects.get(pk=job.pk).outcome_message == "It was the frost."
