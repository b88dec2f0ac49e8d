"""Many commands at once: an answer for each, all or the valid ones, a few statements however many there are."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tasks import engine
from tasks.engine import Spec
from tasks.models import EntityLock, Job, Step

from . import external_system
from .external_system import BuildHouseCommand, PaintHouseCommand

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


def many(*commands, **options):
    with transaction.atomic():
        return engine.submit_many([Spec(command) for command in commands], **options)


def codes(answers):
    return [answer.refusal.code if answer.refusal else None for answer in answers]


def test_all_are_recorded_when_all_pass():
    answers = many(BuildHouseCommand("a"), BuildHouseCommand("b"))

    assert [answer.job.params["key"] for answer in answers] == ["a", "b"]
    assert Job.objects.count() == 2
    assert Step.objects.count() == 6
    assert {lock.key: lock.job_id for lock in EntityLock.objects.all()} == {
        "house:a": answers[0].job.pk,
        "house:b": answers[1].job.pk,
    }


def test_one_refusal_stops_all_specs_and_each_has_its_result():
    many(PaintHouseCommand("busy"))

    answers = many(
        BuildHouseCommand("a"), BuildHouseCommand("b", "pink"), BuildHouseCommand("busy"), mode="all"
    )

    assert codes(answers) == [None, "ugly", "busy"]
    assert [answer.job for answer in answers] == [None, None, None]
    assert Job.objects.count() == 1
    assert [lock.key for lock in EntityLock.objects.all()] == ["house:busy"]


def test_valid_specs_are_recorded_in_mode_valid():
    painting = many(PaintHouseCommand("busy"))[0].job

    answers = many(
        BuildHouseCommand("a"), BuildHouseCommand("b", "pink"), BuildHouseCommand("busy"), mode="valid"
    )

    assert codes(answers) == [None, "ugly", "busy"]
    assert answers[0].job.params["key"] == "a"
    assert answers[2].refusal.job.pk == painting.pk
    assert set(EntityLock.objects.values_list("key", flat=True)) == {"house:a", "house:busy"}


def test_equal_specs_join_within_a_request_and_across_requests():
    first = many(BuildHouseCommand("a"))[0].job

    answers = many(
        BuildHouseCommand("a"),
        BuildHouseCommand("b"),
        BuildHouseCommand("b"),
        PaintHouseCommand("b"),
        mode="valid",
    )

    assert [answer.joined for answer in answers] == [True, False, True, False]
    assert answers[0].job.pk == first.pk
    assert answers[1].job.pk == answers[2].job.pk
    assert codes(answers) == [None, None, None, "busy"]


def test_the_lock_of_a_refused_spec_is_reassigned_to_a_valid_one():
    answers = many(BuildHouseCommand("a", "pink"), PaintHouseCommand("a"), mode="valid")

    assert codes(answers) == ["ugly", None]
    assert EntityLock.objects.get().job_id == answers[1].job.pk


def test_a_dry_run_returns_the_same_results_and_writes_nothing():
    painting = many(PaintHouseCommand("busy"))[0].job

    answers = many(
        BuildHouseCommand("a"),
        BuildHouseCommand("b", "pink"),
        BuildHouseCommand("busy"),
        PaintHouseCommand("busy"),
        dry_run=True,
        mode="valid",
    )

    assert codes(answers) == [None, "ugly", "busy", None]
    assert [answer.job and answer.job.pk for answer in answers] == [None, None, None, painting.pk]
    assert Job.objects.count() == 1
    assert EntityLock.objects.count() == 1


def test_the_number_of_statements_does_not_depend_on_the_number_of_specs():
    counts = []
    for count in (10, 500):
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            engine.submit_many([Spec(BuildHouseCommand(f"{count}-{n}")) for n in range(count)])
        counts.append(
            len([query for query in queries if query["sql"].split()[0] in {"INSERT", "SELECT", "UPDATE"}])
        )

    assert counts[0] == counts[1] <= 4


def test_two_requests_with_the_same_entities_in_other_orders_do_not_block_each_other():
    """Real threads: keys are inserted in their order, so nobody waits for one who waits for him."""
    keys = [f"{n:03}" for n in range(60)]
    together, outcomes, problems = threading.Barrier(4), [], []

    def ask(order):
        try:
            together.wait(10)
            outcomes.append(many(*[BuildHouseCommand(key) for key in order], mode="valid"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it.
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=[order]) for order in (keys, keys[::-1], keys, keys[::-1])]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert not problems
    assert Job.objects.count() == len(keys)
    assert sum(not answer.joined for answers in outcomes for answer in answers) == len(keys)
