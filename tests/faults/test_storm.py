"""The plan of a storm, and the comparison of the cloud's actions with the jobs: it must see what it looks for."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from tests.faults.storm.effects import AcceptedAction, compare_vm
from tests.faults.storm.plan import make_plan
from tests.faults.storm.planted_secrets import CONTROLS, PlantedSecrets, SecretSearch
from tests.faults.storm.scene import Vm


def plan_of(seed, **options):
    return make_plan(seed=seed, kills=200, vms=50, seconds=None, clicks_per_second=5, **options)


def get_first_clicks(plan, user):
    clicks = plan.generate_clicks(user)
    return [next(clicks) for _ in range(50)]


def test_the_same_seed_is_the_same_plan():
    assert plan_of(7) == plan_of(7)
    assert get_first_clicks(plan_of(7), 2) == get_first_clicks(plan_of(7), 2)
    assert plan_of(7).events != plan_of(8).events
    assert get_first_clicks(plan_of(7), 2) != get_first_clicks(plan_of(7), 3)


@pytest.mark.parametrize("seed", range(20))
def test_no_process_is_killed_in_the_calm(seed):
    plan = plan_of(seed)

    begin, end = plan.calm
    disturbing = {"kill", "freeze", "stop_postgres", "start_postgres", "cut_connections"}
    assert not [event for event in plan.events if event.name in disturbing and begin <= event.at <= end]
    slow = [event.at for event in plan.events if event.options.get("window") == "slow_actions"]
    assert begin < slow[0] < slow[1] < end - 29


class EndedJob:
    """An ended job of a VM, with the fields that the comparison reads."""

    def __init__(self, kind, status, begin, end):
        self.pk, self.kind, self.status, self.outcome_code = f"{kind}@{begin}", kind, status, ""
        self.created_at, self.ended_at = at_second(begin), at_second(end)


def at_second(second):
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def find_problems(initial_status, jobs, actions):
    vm = Vm("vm", "server", initial_status)
    accepted = [AcceptedAction(at_second(second), name, "") for second, name in actions]
    return compare_vm(vm, [EndedJob(*job) for job in jobs], accepted).problems


@pytest.mark.parametrize(
    ("initial_status", "jobs", "actions"),
    [
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], [(2, "os-start")]),
        ("ACTIVE", [("vms.start", "succeeded", 1, 5)], []),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], []),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-start"), (4, "os-stop")]),
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], [(2, "reboot")]),
        ("ACTIVE", [("vms.restart", "cancelled", 1, 5)], [(2, "reboot")]),
        (
            "SHUTOFF",
            [("vms.start", "succeeded", 1, 5), ("vms.stop", "succeeded", 6, 9)],
            [(2, "os-start"), (7, "os-stop")],
        ),
    ],
)
def test_actions_that_jobs_explain_are_accepted(initial_status, jobs, actions):
    assert find_problems(initial_status, jobs, actions) == []


@pytest.mark.parametrize(
    ("initial_status", "jobs", "actions"),
    [
        # Lost: the job succeeded, and the cloud never got the request.
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], []),
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], []),
        # Twice.
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], [(2, "reboot"), (3, "reboot")]),
        ("ACTIVE", [("vms.restart", "cancelled", 1, 5)], [(2, "reboot"), (3, "reboot")]),
        # Not undone, and undone without having been done.
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-start")]),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-stop")]),
        # Another action than the job's own.
        ("ACTIVE", [("vms.stop", "succeeded", 1, 5)], [(2, "os-stop"), (3, "reboot")]),
        # During no job: before, between and after.
        ("SHUTOFF", [("vms.start", "succeeded", 2, 5)], [(1, "os-start")]),
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], [(2, "os-start"), (6, "reboot")]),
        ("SHUTOFF", [], [(6, "os-start")]),
    ],
)
def test_what_no_job_explains_is_wrong(initial_status, jobs, actions):
    assert find_problems(initial_status, jobs, actions) != []


SECRET = 'canary "of/a+test" 0123'


@pytest.mark.parametrize(
    "content",
    [
        f"password={SECRET}.".encode(),
        json.dumps({"password": SECRET}).encode(),
        f"?password={quote(SECRET, safe='')}&x".encode(),
        SECRET.encode().hex().encode(),
        *(base64.b64encode(b"x" * before + SECRET.encode() + b"tail") for before in range(5)),
        *(base64.urlsafe_b64encode(b"x" * before + SECRET.encode() + b"\xff\xff") for before in range(5)),
    ],
)
def test_a_secret_is_found_in_every_form(content):
    planted = PlantedSecrets()
    planted.add("one", SECRET)
    planted.add("another", "canary of another kind")

    assert planted.find(content) == ["one"]


def test_a_token_of_the_cloud_is_found_and_an_encrypted_one_is_not():
    planted = PlantedSecrets()

    assert planted.find(b"X-Auth-Token: gAAAAA" + b"0f" * 48) == ["a token of the cloud"]
    assert planted.find(Fernet(Fernet.generate_key()).encrypt(b"canary" * 20)) == []


def test_a_search_that_does_not_find_what_is_there_is_no_proof():
    search = SecretSearch(PlantedSecrets())
    for place, control in CONTROLS.items():
        search.search(place, "x", control if place != "answers" else b"nothing")

    assert search.check().violations == ["the search of answers did not find 'storm-p0-', which is there"]
    assert search.find_in_answer(b"X-Request-ID: storm-p0-1") == []
    assert search.check().violations == []
