"""Following a job live, over a real web process."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
import requests
from django.db import transaction

from api.models import ApiToken
from tasks import engine
from tasks.command import Wait
from tasks.models import Job, JobLogLine
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.faults.conftest import web
from tests.web_processes import start_web_process
from tests.working import work

from . import external_system
from .external_system import BuildHouseCommand, BuildVillageCommand

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["web"]


@pytest.fixture(scope="module")
def portal(tmp_path_factory, django_db_setup):
    """One web process for the tests that need no settings of their own: a start takes longer than such a test."""
    with start_web_process(tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture
def member():
    return MembershipFactory(role=Role.OPERATOR)


@pytest.fixture
def token(member):
    _row, secret = ApiToken.objects.create(user=member.user, name="test", expiry=None)
    return {"Authorization": f"Token {secret}"}


@pytest.fixture
def job(member):
    external_system.reset()
    external_system.replies["wall"] = [Wait(0), Wait(0)]
    with transaction.atomic():
        return engine.submit(BuildHouseCommand(), tenant=member.tenant, user=member.user).job


def events(answer):
    """Each event of a stream as it comes: its name, its data and its id."""
    event = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if not line:
            if event.get("event"):
                yield event["event"], json.loads(event["data"]), event.get("id")
            event = {}
        elif not line.startswith(":"):
            name, _colon, value = line.partition(": ")
            event[name] = value


def follow(portal, job, headers, **options):
    answer = requests.get(
        f"{portal.url}/api/v1/jobs/{job.pk}/events/",
        headers={**headers, "Accept": "text/event-stream"},
        stream=True,
        timeout=20,
        **options,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream"
    return answer


def test_a_job_is_followed_from_its_beginning_to_its_end(portal, job, token):
    stream = events(follow(portal, job, token))
    first = next(stream)
    assert (first[0], first[1]["status"]) == ("job", "queued")

    threading.Thread(target=work).start()
    rest = list(stream)

    assert rest[-1] == ("end", {"status": "succeeded"}, None)
    assert rest[-2][1]["status"] == "succeeded"
    assert rest[-2][1]["progress"] == 100


def test_lines_come_with_their_ids_and_a_reader_who_comes_back_goes_on_after_the_last(portal, job, token):
    for number in range(150):
        JobLogLine.objects.create(job=job, message=f"line {number}")
    engine.advance(job.pk)

    stream = events(follow(portal, job, token))
    lines = [next(stream) for _ in range(150)]
    again = events(follow(portal, job, {**token, "Last-Event-ID": lines[140][2]}))

    assert [line[1]["message"] for line in lines] == [f"line {number}" for number in range(150)]
    assert next(again)[1]["message"] == "line 141"


@pytest.mark.story
def test_an_ended_job_is_told_and_closed_at_once(portal, job, token):
    work()
    began = time.monotonic()

    names = [name for name, _data, _id in events(follow(portal, job, token))]

    assert names == ["job", "end"]
    assert time.monotonic() - began < 10


@pytest.mark.story
def test_a_stream_ends_by_itself_and_says_when_to_come_back(web, job, token):
    portal = web(environment={"JOB_EVENTS_SECONDS": "1"})

    text = follow(portal, job, token).text

    assert text.startswith("retry: 1000\n\n")
    assert "event: end" not in text


@pytest.mark.story
def test_who_finds_no_place_gets_what_there_is_and_comes_back_later(web, job, token):
    portal = web(workers=1, environment={"WAITING_REQUESTS_AT_MOST": "1"})
    first = events(follow(portal, job, token))
    next(first)

    second = follow(portal, job, token).text

    assert second.startswith("retry: 5000\n\n")
    assert "event: job" in second


@pytest.mark.story
def test_a_reader_who_goes_away_gives_his_place_back(web, job, token):
    portal = web(workers=1, environment={"WAITING_REQUESTS_AT_MOST": "1"})
    gone = follow(portal, job, token)
    next(events(gone))
    gone.close()

    deadline = time.monotonic() + 15
    while not follow(portal, job, token).raw.read(12).startswith(b"retry: 1000"):
        assert time.monotonic() < deadline, "the place of a reader who is gone is still taken"
        time.sleep(0.5)


@pytest.mark.story
def test_a_reader_who_does_not_read_is_cut_off(web, job, token):
    """He lets the stream's buffers fill up: the thread must not wait for him for longer than its patience."""
    portal = web(workers=1, environment={"WAITING_REQUESTS_AT_MOST": "1"})
    JobLogLine.objects.bulk_create(JobLogLine(job=job, message="x" * 100_000) for _ in range(150))
    address = portal.url.removeprefix("http://").split(":")
    idle = socket.socket()
    idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    idle.connect((address[0], int(address[1])))
    idle.sendall(
        f"GET /api/v1/jobs/{job.pk}/events/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {token['Authorization']}\r\n\r\n".encode()
    )
    time.sleep(2)
    JobLogLine.objects.all().delete()

    deadline = time.monotonic() + 25
    while not follow(portal, job, token).raw.read(12).startswith(b"retry: 1000"):
        assert time.monotonic() < deadline, "the place of a reader who does not read is still taken"
        time.sleep(0.5)
    idle.close()


@pytest.mark.story
def test_plain_polling_stays_beside_it(portal, job, token):
    answer = requests.get(f"{portal.url}/api/v1/jobs/{job.pk}/", headers=token, timeout=10)

    assert answer.json()["status"] == "queued"


def test_a_tree_tells_how_far_everything_below_it_is(member, client):
    client.force_login(member.user)
    external_system.reset()
    external_system.replies["roof b"] = [Wait(1000)]
    with transaction.atomic():
        tree = engine.submit(
            BuildVillageCommand(["a", "b"], at_once=2), tenant=member.tenant, user=member.user
        ).job
    for _ in range(2):
        for pk in Job.objects.order_by("created_at", "position").values_list("pk", flat=True):
            engine.advance(pk)

    shown = client.get(f"/api/v1/jobs/{tree.pk}/").json()
    parts = client.get(f"/api/v1/jobs/?parent={tree.pk}").json()
    roots = client.get("/api/v1/jobs/").json()

    # One of three steps is done, and of the second one's two children one and a half.
    assert shown["progress"] == int(100 / 3 + 100 / 3 * 0.75)
    assert [child["description"] for child in shown["children"]] == ["House: a", "House: b"]
    assert {part["id"] for part in parts["results"]} == {child["id"] for child in shown["children"]}
    assert [root["id"] for root in roots["results"]] == [str(tree.pk)]
    assert roots["results"][0]["progress"] == shown["progress"]
