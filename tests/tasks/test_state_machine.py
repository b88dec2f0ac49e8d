"""Whatever happens to jobs, in whatever order: what must hold holds after every move, and everything ends.

Hypothesis writes the stories. A story submits commands and trees of commands whose steps answer anything, delivers,
doubles and loses messages, lets workers die at any named crash point or oversleep their leases, lets time and
deadlines pass, cancels, lets the outside be as wanted or not, and has staff decide.
Then the outside answers well, and within a bounded number of rounds everything has to have ended.

The stories are the same at every run, so that a change that breaks nothing fails nothing.
For a search with other stories: `PORTAL_STORIES=2000 python -m pytest tests/tasks/test_state_machine.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks.crash_points import CRASH_POINTS
from tasks.models import ENDED, JobStatus
from tasks.polling import MISSING, PollError
from tests.stories import ALL, count_examples

from . import external_system
from .engine_driver import ROUND, Armed, EngineHarness, engine_harness
from .ledger import Answer, ChildrenPlan, Plan, effect_ledger

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A story with large trees is worth its length.
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    # A story that fails is told again and again until it is as short as can be.
    pytest.mark.timeout(1800),
]

SETTINGS = settings(
    max_examples=count_examples(5),
    stateful_step_count=25,
    derandomize=not ALL,
    database=None,
    deadline=None,  # One story is a few hundred statements; how long they take is the machine's matter.
    suppress_health_check=list(HealthCheck),
)

EVENTS = ["oversleep", "die", "oversleep", "cancel", "poll", "other", "late"]
REPLIES = ["done", "wait", "failed", "bug"]
# One thing that is out of the ordinary, or all of them at once: most stories must come far, or they tell little.
ANSWERS = st.one_of(
    st.sampled_from(REPLIES[1:]).map(Answer),
    st.sampled_from(EVENTS).map(lambda event: Answer("done", (event,))),
    st.builds(Answer, st.sampled_from(REPLIES), st.sampled_from([("oversleep",), ("cancel", "oversleep")])),
    st.builds(Answer, st.sampled_from(REPLIES), st.lists(st.sampled_from(EVENTS), max_size=2).map(tuple)),
)
# What kills every worker that tries it, and what fails at every try, gets stuck.
LINES = st.one_of(
    st.lists(ANSWERS, min_size=1, max_size=2),
    st.lists(ANSWERS, min_size=1, max_size=2),
    st.sampled_from([[Answer("done", ("die",))] * 3, [Answer("bug")] * 4]),
)
SPOTS = st.integers(0, 40)


# A hook runs inside the transaction that ends its job: it can be wrong, or its worker can die in it.
HOOKS = st.lists(
    st.sampled_from([Answer("failed"), Answer("done", ("die",)), Answer()]), min_size=1, max_size=3
)
VALIDATIONS = st.lists(st.sampled_from([Answer(), Answer("failed")]), min_size=1, max_size=2)


def scripts(*names):
    return st.builds(
        lambda steps, hook, validate: dict(steps) | hook | validate,
        st.lists(st.tuples(st.sampled_from(names), LINES), min_size=1, max_size=3),
        st.dictionaries(st.just("hook"), HOOKS, max_size=1),
        st.dictionaries(st.just("validate"), VALIDATIONS, max_size=1),
    )


# Most of a tree goes well, or hardly any would come to its end; and it is at the end that much is to be taken back.
def seldom(script, *usual):
    return st.one_of(st.just({}), *(st.just({name: [Answer("failed")] * 9}) for name in usual), script)


CHORES = st.builds(
    Plan,
    kind=st.just("chore"),
    spot=SPOTS,
    script=scripts("buy", "grow", "polish", "sell", "uproot"),
)
BATCHS = st.builds(Plan, kind=st.just("batch"), spot=SPOTS, script=seldom(scripts("run")))
PLAIN_CHORES = st.builds(Plan, spot=SPOTS)
LEAVES = st.one_of(PLAIN_CHORES, PLAIN_CHORES, BATCHS, CHORES)


def broods(children, most):
    return st.builds(
        ChildrenPlan,
        st.lists(children, min_size=1, max_size=most),
        at_once=st.integers(1, 3),
        optional=st.booleans(),
        permanent=st.sampled_from([False, False, True]),
    )


def projects(children, most):
    return st.builds(
        Plan,
        kind=st.just("project"),
        spot=SPOTS,
        script=seldom(scripts("survey", "build", "furnish", "party", "fill_in", "clear"), "party"),
        build=broods(children, most),
        furnish=st.one_of(st.none(), broods(children, 2)),
    )


TREES = projects(LEAVES, 3)
THREE_GENERATIONS = projects(st.one_of(projects(LEAVES, 2), LEAVES), 2)
WHICH = st.integers(0, 15)


class Engine(RuleBasedStateMachine):
    """The engine, and everything around it that can happen."""

    harness: ClassVar[EngineHarness]

    def __init__(self):
        super().__init__()
        self.driver = self.harness.new_driver()
        self.sound = True
        self.decisions = []

    # No story is about nothing.
    @initialize(first=st.one_of(TREES, THREE_GENERATIONS), second=CHORES)
    def begin(self, first, second):
        self.driver.submit(first)
        self.driver.submit(second)

    def job(self, which, *statuses):
        jobs = [job for job in self.driver.jobs() if not statuses or job.status in statuses]
        return jobs[which % len(jobs)] if jobs else None

    @rule(plan=st.one_of(CHORES, TREES, THREE_GENERATIONS))
    def submit(self, plan):
        self.driver.submit(plan)

    @rule()
    def deliver_everything(self):
        self.driver.deliver_all()

    # Rules are chosen evenly. These three are what a story comes on by; without them few would come far.
    @rule(grown=st.booleans())
    def a_minute_passes(self, grown):
        self.driver.pass_time(ROUND)
        if grown:
            effect_ledger.move_on()
        self.driver.poll()
        self.driver.sweep()
        self.driver.deliver_all()

    @rule()
    def a_minute_passes_outside_and_messages_come(self):
        effect_ledger.move_on()
        self.driver.pass_time(ROUND)
        self.driver.poll()
        self.driver.deliver_all()

    @rule()
    def a_minute_passes_and_the_sweep_rings(self):
        effect_ledger.move_on()
        self.driver.pass_time(ROUND)
        self.driver.messages.clear()
        self.driver.sweep()
        self.driver.deliver_all()

    @rule()
    def everything_is_rung_for(self):
        for job in self.driver.jobs():
            self.driver.advance(job.pk)

    @rule(which=WHICH, again=st.booleans())
    def deliver_a_message(self, which, again):
        if messages := self.driver.messages:
            message = messages[which % len(messages)]
            if not again:
                messages.remove(message)
            self.driver.deliver(message)

    @rule(which=WHICH)
    def ring(self, which):
        if job := self.job(which):
            self.driver.advance(job.pk)

    @rule(
        point=st.sampled_from(CRASH_POINTS),
        passes=st.integers(0, 3),
        event=st.sampled_from(["die", "die", *EVENTS]),
    )
    def arm(self, point, passes, event):
        self.driver.armed = Armed(point, passes, event)

    @rule(seconds=st.sampled_from([1, 25, 65]))
    def time_passes(self, seconds):
        self.driver.pass_time(timedelta(seconds=seconds))

    @rule(which=WHICH)
    def cancel(self, which):
        if job := self.job(which):
            self.driver.cancel(job)

    @rule(which=WHICH)
    def deadlines_pass(self, which):
        if job := self.job(which, *(set(JobStatus.values) - ENDED)):
            self.driver.pass_deadlines(job)

    @rule(which=WHICH, becomes=st.sampled_from(["grown", "grown", "dead", "stubborn", MISSING]))
    def something_outside_changes(self, which, becomes):
        changing = [
            thing for thing in external_system.objects if external_system.objects[thing] in {"small", "going"}
        ]
        if changing:
            thing = changing[which % len(changing)]
            if external_system.objects[thing] == "small" or becomes in {MISSING, "stubborn"}:
                effect_ledger.turn(thing, becomes)

    @rule()
    def poll(self):
        self.driver.poll()

    @rule()
    def the_outside_goes_away_or_comes_back(self):
        if external_system.outages:
            external_system.outages.clear()
        else:
            external_system.outages.append(PollError("the garden is closed"))

    @rule(
        which=WHICH,
        decision=st.sampled_from(["resume", "end", "end and undo", "retry"]),
    )
    def staff_decide(self, which, decision):
        if job := self.job(which, JobStatus.STUCK, JobStatus.ERRORED):
            self.driver.decide(job, decision.split()[0], undo="undo" in decision)

    @rule(decision=st.sampled_from(["resume", "end", "end and undo"]))
    def staff_will_decide(self, decision):
        self.decisions.append(decision)

    @invariant()
    def what_must_hold_holds(self):
        self.sound = False
        self.driver.check()
        self.sound = True

    def decide(self, job):
        decision = self.decisions.pop(0) if self.decisions else "resume"
        return decision.split()[0], "undo" in decision

    def teardown(self):
        if self.sound:
            self.driver.settle(self.decide)


def test_whatever_happens_what_must_hold_holds_and_everything_ends(settings):
    settings.JOB_ATTEMPT_CAP = 3
    with engine_harness() as Engine.harness:
        run_state_machine_as_test(Engine, settings=SETTINGS)
