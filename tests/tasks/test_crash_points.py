"""Die at each commit: what becomes of a job is what would have become of it anyway.

Each scenario has one end. It runs once without a death; then again with a death at each pass of a crash point. Each time
the end has to be the same: statuses, steps, effects outside, what the commands were told, and nothing held.

By default one pass of each point is tried, in one scenario; `make stories` tries all passes in all scenarios.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from tasks import polling
from tasks.crash_points import CRASH_POINTS
from tasks.models import AsyncTask, Job, JobStatus
from tests.stories import ALL, select_evenly

from . import external_system
from .engine_driver import Armed, Driver, engine_harness
from .ledger import Answer, ChildrenPlan, Plan, effect_ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def harness(settings):
    settings.JOB_ATTEMPT_CAP = 3
    with engine_harness() as harness:
        yield harness


# What the outside answers does not depend on who dies: it is said often enough for every repetition.
WAITS, REFUSES, IS_WRONG = [Answer("wait")], [Answer("failed")] * 9, [Answer("bug")] * 9
KILLS = [Answer("done", ("die",))] * 9


# --- The scenarios -----------------------------------------------------------------------------------------


def go_on(driver: Driver, rounds: int = 1) -> None:
    """Do all there is to do, with whatever recovery it takes, and let the outside come on."""
    for _ in range(rounds):
        driver.recover()
        effect_ledger.move_on()
    driver.recover()


def first(driver: Driver) -> Job:
    return Job.objects.get(subject="plan0")


def one_that_waits_and_watches(driver: Driver) -> None:
    driver.submit(Plan(script={"buy": WAITS}))
    go_on(driver)


def one_that_fails_at_its_last_step(driver: Driver) -> None:
    driver.submit(Plan(script={"polish": REFUSES, "sell": [Answer("wait"), Answer("failed")]}))
    go_on(driver, 2)


def one_whose_outside_dies(driver: Driver) -> None:
    driver.submit(Plan())
    driver.recover()
    for thing in external_system.objects:
        effect_ledger.turn(thing, "dead")
    go_on(driver, 2)


def one_with_a_bug(driver: Driver) -> None:
    """The step has its effect and then raises: what the undo needs to know of it has to outlive a death."""
    driver.submit(Plan(script={"grow": IS_WRONG}))
    go_on(driver, 2)


def one_whose_outside_is_away(driver: Driver) -> None:
    driver.submit(Plan())
    external_system.outages.append(polling.PollError("the garden is closed"))
    driver.recover()
    external_system.outages.clear()
    go_on(driver)


def a_tree(driver: Driver) -> None:
    driver.submit(
        Plan(
            "project",
            0,
            build=ChildrenPlan([Plan(spot=1), Plan("batch", 2), Plan("batch", 3)], at_once=2),
            furnish=ChildrenPlan([Plan("batch", 1)]),
        )
    )
    go_on(driver, 2)


def a_tree_that_fails_at_its_end(driver: Driver) -> None:
    driver.submit(
        Plan(
            "project",
            0,
            {"party": REFUSES, "clear": WAITS},
            build=ChildrenPlan([Plan(spot=1), Plan("batch", 2), Plan(spot=3)], at_once=2),
            furnish=ChildrenPlan([Plan("batch", 1)], permanent=True),
        )
    )
    go_on(driver, 4)


def a_tree_with_a_child_that_fails(driver: Driver) -> None:
    driver.submit(
        Plan(
            "project",
            0,
            build=ChildrenPlan([Plan(spot=1), Plan(spot=2, script={"polish": REFUSES}), Plan(spot=3)]),
        )
    )
    go_on(driver, 5)


def three_generations_that_fail(driver: Driver) -> None:
    village = Plan("project", 1, build=ChildrenPlan([Plan(spot=2), Plan("batch", 3)]))
    driver.submit(Plan("project", 0, {"party": REFUSES}, build=ChildrenPlan([village])))
    go_on(driver, 3)


def cancelled_while_it_watches(driver: Driver) -> None:
    driver.submit(Plan())
    driver.recover()
    driver.cancel(first(driver))
    go_on(driver)


def a_tree_cancelled(driver: Driver) -> None:
    driver.submit(
        Plan("project", 0, build=ChildrenPlan([Plan(spot=1), Plan(spot=2), Plan(spot=3)], at_once=2))
    )
    driver.recover()
    driver.cancel(first(driver))
    go_on(driver)


def cancelled_during_a_step_that_then_watches(driver: Driver) -> None:
    """Nothing outside comes on by itself, so the cancel is heard at once or not for hours."""
    driver.submit(Plan(script={"grow": [Answer("done", ("cancel",))]}))
    driver.recover()
    assert first(driver).status == JobStatus.UNDOING
    go_on(driver)


def cancelled_during_a_step_that_spawns(driver: Driver) -> None:
    script = {"build": [Answer("done", ("cancel",))]}
    driver.submit(Plan("project", 0, script, build=ChildrenPlan([Plan(spot=1), Plan(spot=2)])))
    driver.recover()
    # It depends on a death whether children have been spawned, and have begun, before the cancel is noticed.
    if driver.deaths:
        go_on(driver)
    assert {job.status for job in driver.jobs()} == {JobStatus.CANCELLED}


def stuck_and_resumed(driver: Driver) -> None:
    _stuck(driver, Plan(script={"buy": KILLS}))
    driver.decide(first(driver), "resume")
    go_on(driver)


def stuck_and_ended(driver: Driver) -> None:
    _stuck(driver, Plan(script={"buy": KILLS}))
    driver.decide(first(driver), "end")
    go_on(driver)


def stuck_and_undone(driver: Driver) -> None:
    _stuck(driver, Plan(script={"buy": KILLS}))
    driver.decide(first(driver), "end", undo=True)
    go_on(driver)


def stuck_on_the_way_back_and_resumed(driver: Driver) -> None:
    _stuck(driver, Plan(script={"polish": REFUSES, "sell": IS_WRONG}), rounds=2)
    driver.decide(first(driver), "resume")
    go_on(driver)


def a_child_stuck_and_ended(driver: Driver) -> None:
    children = [Plan("batch", 1, {"run": KILLS}), Plan("batch", 2)]
    _stuck(driver, Plan("project", 0, build=ChildrenPlan(children, optional=True)), "plan0.build0")
    driver.decide(Job.objects.get(subject="plan0.build0"), "end")
    go_on(driver)


def errored_and_retried(driver: Driver) -> None:
    driver.submit(Plan(script={"buy": IS_WRONG}))
    driver.recover()
    effect_ledger.answers.clear()
    driver.decide(first(driver), "retry")
    go_on(driver)


def _stuck(driver: Driver, plan: Plan, subject: str = "plan0", rounds: int = 0) -> None:
    driver.submit(plan)
    go_on(driver, rounds)
    assert Job.objects.get(subject=subject).status == JobStatus.STUCK
    effect_ledger.answers.clear()


POLLED = {"poll_claimed", "polled", "poll_recorded"}
MOVED = {"submitted", "claimed", "called", "ended", "swept"}
PASSES: dict[Callable[[Driver], None], set[str]] = {
    one_that_waits_and_watches: MOVED | POLLED | {"recorded"},
    one_that_fails_at_its_last_step: MOVED | POLLED | {"recorded"},
    one_whose_outside_dies: MOVED | POLLED | {"recorded"},
    one_with_a_bug: MOVED | POLLED | {"recorded"},
    one_whose_outside_is_away: MOVED | POLLED | {"recorded"},
    a_tree: MOVED | POLLED | {"recorded", "spawned"},
    a_tree_that_fails_at_its_end: MOVED | POLLED | {"recorded", "spawned"},
    a_tree_with_a_child_that_fails: MOVED | POLLED | {"recorded", "spawned"},
    three_generations_that_fail: MOVED | POLLED | {"recorded", "spawned"},
    cancelled_while_it_watches: MOVED | POLLED | {"recorded", "cancelled"},
    a_tree_cancelled: MOVED | POLLED | {"recorded", "spawned", "cancelled"},
    cancelled_during_a_step_that_then_watches: MOVED | POLLED | {"recorded", "cancelled"},
    cancelled_during_a_step_that_spawns: MOVED | {"recorded", "spawned", "cancelled"},
    stuck_and_resumed: MOVED | POLLED | {"recorded", "stuck", "decided"},
    stuck_and_ended: {"submitted", "claimed", "ended", "swept", "stuck", "decided"},
    stuck_and_undone: MOVED | {"recorded", "stuck", "decided"},
    stuck_on_the_way_back_and_resumed: MOVED | POLLED | {"recorded", "stuck", "decided"},
    a_child_stuck_and_ended: MOVED | {"recorded", "spawned", "stuck", "decided"},
    errored_and_retried: MOVED | POLLED | {"recorded", "decided"},
}


def steps_of(job: Job) -> list[tuple[str, str]]:
    """How a job's steps ended; of a cancelled one only whether they did.

    When its worker has died, nobody knows whether a step had begun: it is undone then, and not skipped.
    """
    steps = list(job.steps.order_by("position").values_list("name", "status"))
    if job.status != JobStatus.CANCELLED:
        return steps
    return [(name, "succeeded" if status == "succeeded" else "not") for name, status in steps]


def told(scenario, driver: Driver, armed: Armed | None = None):
    """Tell a scenario, with something armed from its beginning, and describe its end.

    As with its steps, it depends on the death whether a cancelled job had begun to watch, so its watches are not compared;
    that none is open is checked at each end.
    """
    driver.armed = armed
    scenario(driver)
    driver.check()
    driver.check_end()
    return {
        "jobs": {
            (job.subject, job.retry_of_id is not None): (
                job.status,
                job.outcome_code,
                job.outcome_message,
                steps_of(job),
                {
                    name: count
                    for (job_id, name), count in effect_ledger.present.items()
                    if job_id == job.pk and count
                },
                [line.message for line in job.lines.filter(message__startswith="told").order_by("pk")],
            )
            for job in driver.jobs()
            if job.parent_id is None or scenario is not cancelled_during_a_step_that_spawns
        },
        "watches": sorted(
            AsyncTask.objects.exclude(job__status=JobStatus.CANCELLED).values_list(
                "job__subject", "step_name", "undo", "verdict"
            )
        ),
        "things": sorted(external_system.objects.values()),
    }


# At each point of a scenario, spread evenly over how often it is passed.
MOST_DEATHS = 1
# Who dies at each point by default; together, most kinds of scenario.
DIES: dict[str, Callable[[Driver], None]] = {
    "submitted": errored_and_retried,
    "cancelled": a_tree_cancelled,
    "decided": a_child_stuck_and_ended,
    "claimed": one_that_fails_at_its_last_step,
    "called": one_with_a_bug,
    "recorded": cancelled_during_a_step_that_then_watches,
    "spawned": three_generations_that_fail,
    "ended": a_tree_with_a_child_that_fails,
    "stuck": stuck_on_the_way_back_and_resumed,
    "poll_claimed": one_that_fails_at_its_last_step,
    "polled": one_that_fails_at_its_last_step,
    "poll_recorded": one_whose_outside_dies,
    "swept": one_that_waits_and_watches,
}


def test_every_crash_point_is_died_at():
    assert set(DIES) == set(CRASH_POINTS)
    assert set().union(*PASSES.values()) == set(CRASH_POINTS)


@pytest.mark.parametrize("scenario", select_evenly(PASSES, 6), ids=lambda scenario: scenario.__name__)
def test_a_scenario_passes_the_points_that_are_said_of_it(harness, scenario):
    driver = harness.new_driver()

    told(scenario, driver)

    assert set(driver.passed) == PASSES[scenario]


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_whoever_dies_at_a_point_the_end_is_the_same(harness, point):
    everyone = [scenario for scenario, passed in PASSES.items() if point in passed]
    for scenario in everyone if ALL else [DIES[point]]:
        driver = harness.new_driver()
        expected = told(scenario, driver)
        for death in select_evenly(range(driver.passed[point]), MOST_DEATHS):
            driver = harness.new_driver()
            armed = Armed(point, death, "die")
            ended = told(scenario, driver, armed)
            # The children of a_tree_cancelled may hear of the cancel before they begin to watch.
            assert driver.armed is not armed or scenario is a_tree_cancelled, f"{scenario.__name__}: missed"
            assert ended == expected, f"{scenario.__name__}, death {death}"


# --- What only several deaths bring about ------------------------------------------------------------------


def test_deaths_at_different_steps_are_not_added_up(harness):
    """The cap is for a step that kills every worker; a job that was unlucky at each of its steps goes on."""
    driver = harness.new_driver()
    twice = [Answer("done", ("die",))] * 2
    driver.submit(Plan(script={"buy": twice, "grow": twice, "polish": twice}))

    go_on(driver)

    assert (driver.deaths, first(driver).status) == (6, JobStatus.SUCCEEDED)
    driver.check_end()


def test_children_that_are_taken_back_go_on_although_their_parent_is_stuck(harness):
    """A child that is held back is released by the end of the one before it, whatever has become of the parent."""
    driver = harness.new_driver()
    driver.submit(Plan("project", 0, {"party": REFUSES}, build=ChildrenPlan([Plan(spot=1), Plan(spot=2)])))
    go_on(driver, 2)
    parent = first(driver)
    assert (parent.status, parent.children_open) == (JobStatus.UNDOING, 2)
    Job.objects.filter(pk=parent.pk).update(not_before=timezone.now())
    for _ in range(3):
        driver.armed = Armed("claimed", 0, "die")
        driver.advance(parent.pk)
        driver.end_leases()
    driver.advance(parent.pk)
    assert first(driver).status == JobStatus.STUCK

    go_on(driver, 2)

    assert [job.status for job in driver.jobs()[1:]] == [JobStatus.CANCELLED] * 2
    driver.decide(parent, "resume")
    go_on(driver)
    driver.check_end()
