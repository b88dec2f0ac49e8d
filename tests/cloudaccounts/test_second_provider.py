"""A second provider of some fifty lines (`example_provider.py`) supports every feature, without other changes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, ResourceType, SyncLog
from cloudaccounts.registry import Link, ListedResource
from cloudaccounts.services import list_stale_accounts, open_scheduled_syncs
from cloudaccounts.sync.resource_writer import write_resources
from cloudaccounts.sync.resources import run_sync, sync_resource
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .example_provider import DiskSyncer, NimbusError, disk, example_provider, machine
from .resource_checks import check_logs, check_rows, list_links, list_row_names, read_all_rows, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def nimbus(transactional_db):
    """The example provider's cloud."""
    with example_provider() as cloud:
        yield cloud


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def entered(api, **fields):
    """An account of the example provider, entered over REST; the answer."""
    account_data = {
        "name": "in the clouds",
        "provider": "nimbus",
        "auth_url": "http://nimbus.example.org/",
        **fields,
    }
    account_data = {
        "access_id": "key",
        "secret": "nimbus",
        "project": "p",
        "sync_interval_minutes": 5,
        **account_data,
    }
    return api.post("/api/v1/cloud-accounts/", account_data, format="json")


def listed(api, path, **query):
    """Return the results of a list of the API."""
    answer = api.get(f"/api/v1/{path}/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def run_all():
    """Run the open logs, as a worker does."""
    return {log.type: run_sync(log.pk) for log in SyncLog.objects.running().order_by("pk")}


def test_example_provider_supports_all_features(api, cloud, nimbus, settings):
    settings.ALLOW_LOCAL_CLOUDS = True
    other = cloud.account(name="openstack", tenant=api.member.tenant)
    sync_resource(other.pk, "flavor")
    before = read_all_rows(account=other)

    # Entered over REST, verified by a command, which has it synced.
    answer = entered(api)
    account = CloudAccount.objects.get(pk=answer.json()["account"]["id"])
    api.done(answer)
    account.refresh_from_db()
    assert account.last_verified_at and account.facts == {"project_id": "p", "regions": {"north": ["disks"]}}
    schedule = PeriodicTask.objects.get(name=f"CloudAccount-{account.pk}-sync")
    assert (schedule.enabled, schedule.interval.every) == (True, 5)
    nimbus.put("disk", [disk("a", size=1), disk("b", size=2)], [disk("c", size=3)])
    nimbus.put("machine", [machine("x", "a", "b", addresses=["10.0.0.1"])])
    logs = run_all()
    assert {code: (log.state, log.created) for code, log in logs.items()} == {
        "disk": ("success", 3),
        "machine": ("success", 1),
    }

    # Changes and links, by what the schedule asks for; a machine is gone at once, a disk after two listings.
    nimbus.put("disk", [disk("b", size=20), disk("c", status="busy", size=3)])
    nimbus.put("machine", [machine("y", "c")])
    open_scheduled_syncs(account.pk)
    logs = run_all()
    counts = {
        code: (log.created, log.updated, log.unchanged, log.missing, log.expired)
        for code, log in logs.items()
    }
    assert counts == {"disk": (0, 2, 0, 1, 0), "machine": (1, 0, 0, 0, 1)}
    told = ResourceChange.objects.filter(resource__account=account).order_by("resource__name")
    assert list(told.values_list("resource__name", "fields")) == [
        ("b", {"attributes.size": [2, 20]}),
        ("c", {"status": ["ready", "busy"]}),
        ("x", {"expired": [False, True]}),
    ]
    check_rows()

    # REST: filters, types, topology, changes, logs.
    resources = listed(api, "cloud-resources", provider="nimbus", expired="false")
    assert [one["name"] for one in resources] == ["a", "b", "c", "y"]
    assert {one["type"] for one in listed(api, "cloud-resources", provider="openstack")} == {"flavor"}
    assert [one["name"] for one in listed(api, "cloud-resources", search="10.0.0.1")] == ["x"]
    assert [one["code"] for one in listed(api, "resource-types", provider="nimbus")] == ["disk", "machine"]
    assert len(listed(api, "sync-logs", provider="nimbus")) == 4
    assert {one["state"] for one in listed(api, "sync-logs", provider="nimbus", type="disk")} == {"success"}
    assert [one["name"] for one in listed(api, "cloud-accounts", provider="nimbus")] == [account.name]
    by_name = {one["name"]: one["id"] for one in resources}
    picture_of_y = api.get(f"/api/v1/cloud-resources/{by_name['y']}/topology/").json()
    assert [node["name"] for node in picture_of_y["nodes"]] == ["y", "c"]
    assert [edge["kind"] for edge in picture_of_y["edges"]] == ["machine-disk"]
    changes = api.get(f"/api/v1/cloud-resources/{by_name['b']}/changes/").json()["results"]
    assert [change["fields"] for change in changes] == [{"attributes.size": [2, 20]}]
    detail = api.get(f"/api/v1/cloud-accounts/{account.pk}/").json()
    assert {one["type"]: one["resources"] for one in detail["types"]} == {"disk": 3, "machine": 1}

    # By hand: one type, a word that is none, and only what was chosen.
    asked = api.post(f"/api/v1/cloud-accounts/{account.pk}/sync/", {"types": ["machine"]}, format="json")
    assert [log["type"] for log in asked.json()["logs"]] == ["machine"]
    assert {code: log.unchanged for code, log in run_all().items()} == {"machine": 1}
    wrong = api.post(f"/api/v1/cloud-accounts/{account.pk}/sync/", {"types": ["server"]}, format="json")
    assert (wrong.status_code, "has: disk, machine" in str(wrong.json())) == (400, True)
    assert registry.list_synced_types(account) == ["disk", "machine"]
    account.resource_types.set(ResourceType.objects.filter(provider="nimbus", code="disk"))
    assert registry.list_synced_types(account) == ["disk"]

    # It goes stale by its own types, and goes away with its schedule; nothing else has changed meanwhile.
    CloudAccount.objects.filter(pk=account.pk).update(created_at=timezone.now() - timedelta(days=1))
    SyncLog.objects.filter(account=account).update(ended_at=timezone.now() - timedelta(hours=1))
    assert [(one.account_id, one.type) for one in list_stale_accounts()] == [(account.pk, "disk")]
    api.done(api.delete(f"/api/v1/cloud-accounts/{account.pk}/"))
    assert not CloudResource.objects.filter(account=account.pk).exists()
    assert not PeriodicTask.objects.filter(name=f"CloudAccount-{account.pk}-sync").exists()
    assert read_all_rows(account=other) == before
    check_logs()


def test_errors_of_the_provider_are_shown_unchanged(api, nimbus, settings):
    settings.ALLOW_LOCAL_CLOUDS = True
    job = api.ended(entered(api, secret="wrong"))
    assert (job["status"], "does not know this key" in str(job["outcome"])) == ("failed", True)
    account = CloudAccount.objects.get()
    assert account.last_error == "Nimbus does not know this key."
    # Also in words that no column takes.
    nimbus.refusal = "Nimbus\x00 says \ud800no."
    job = api.ended(api.post(f"/api/v1/cloud-accounts/{account.pk}/verify/"))
    assert (job["status"], "says" in str(job["outcome"])) == ("failed", True)
    account.refresh_from_db()
    assert account.last_error == "Nimbus says ?no."
    account.set_secret("nimbus")
    account.save()
    nimbus.put("disk", [disk("a"), disk("b")], [disk("c")])
    nimbus.put("disk", [disk("z")], region="south")
    assert sync_resource(account.pk, "disk").state == "success"
    before = read_all_rows()

    # A listing that breaks off; a cloud whose words no column takes; one that is not even an error of its kind.
    for page, words in [
        (NimbusError("Nimbus is raining."), "Nimbus is raining."),
        (NimbusError("a\x00b\ud800c" + "!" * 100_000), "ab?c!!!"),
        (ZeroDivisionError("secret thing"), "Internal error."),
    ]:
        nimbus.put("disk", page, region="north")
        log = sync_resource(account.pk, "disk")
        assert (log.state, log.regions["south"], log.expired, log.missing) == ("failed", "", 0, 0)
        assert words in log.message and log.message.startswith("north: ")
        assert "secret thing" not in read_log_texts(log)
        assert list_row_names(region="north") == {f"d-{name}": name for name in "abc"}
        assert read_all_rows(region="north") == tuple(
            [row for row in part if part is not before[0] or row[2] == "north"] for part in before
        )
    check_logs()

    # A provider that is not installed any more: a clear log, and all that was known is still there.
    CloudAccount.objects.update(provider="cumulus")
    log = sync_resource(account.pk, "disk")
    assert (log.state, log.message) == ("failed", "The cloud type 'cumulus' is not installed.")
    CloudAccount.objects.update(provider="nimbus")
    assert "not supported for Nimbus" in sync_resource(account.pk, "server").message
    assert len(list_row_names()) == 4


NESTED: list = []
for _depth in range(900):
    NESTED = [NESTED]
ODD = [
    {"x": "\x00\ud800"},
    {"x": float("nan"), "y": float("inf"), "z": [-float("inf"), {"a": float("nan")}]},
    {"x": NESTED[0]},
    {"x": "Infinity NaN \\u0000"},
    {"x" * 100_000: 1},
    {"x": "y" * 1_000_000, "small": 1},
    {f"x{number}": "ü" * 900 for number in range(500)},
    {"x": 2**70, "y": 1e300, "z": -0.0},
    {"links": ["a"], "name": "b", "": None, "a.b": {"c.d": None}},
    {"left_out": 5},
]


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_invalid_attributes_are_kept_as_far_as_possible(odd):
    """Nothing of it stops a page, the same junk is no change, and what is told of changes is true."""
    place = (CloudAccount.objects.create(name="odd", access_id="x", auth_url="http://x").pk, "r", "disk")
    began = timezone.now()

    def page(number, attributes):
        seen_at = began + timedelta(seconds=number)
        found = [ListedResource("1", "one", "", attributes), ListedResource("2", "two", "", {"n": number})]
        written = write_resources(place, found, seen_at)
        return written.created, written.updated, written.unchanged

    assert page(1, ODD[odd]) == (2, 0, 0)
    assert page(2, ODD[odd]) == (0, 1, 1)
    assert page(3, {"n": 1}) == (0, 2, 0)
    assert page(4, ODD[odd]) == (0, 2, 0)
    check_rows()
    assert len(json.dumps(CloudResource.objects.get(cloud_id="1").attributes)) < 130_000


def test_links_are_those_of_the_last_listing(nimbus):
    account = CloudAccount.objects.create(name="links", provider="nimbus", access_id="x", auth_url="http://x")
    account.set_secret("nimbus")
    account.save()

    def linked(*pages):
        nimbus.put("machine", *pages)
        log = sync_resource(account.pk, "machine")
        assert log.state == "success", log.message
        check_rows()
        return list_links(CloudResource.objects.get(cloud_id="m-x")), log.updated

    assert linked([machine("x", "a")]) == (["machine-disk d-a"], 0)
    # On two pages, as it moved while it was listed: one of both is believed, whole.
    assert linked([machine("x", "b")], [machine("x", "c", status="moved")]) == (["machine-disk d-b"], 1)
    assert CloudResource.objects.get().status == "up"
    assert linked([machine("x", "b")]) == (["machine-disk d-b"], 0)
    assert linked([machine("x", "c", "b", "c")]) == (["machine-disk d-b", "machine-disk d-c"], 1)
    assert linked([machine("x")]) == ([], 1)
    odd = ListedResource(
        "m-x",
        "x",
        "up",
        {},
        (),
        (Link("disk", ""), Link("disk", "a\x00"), Link("disk", "a"), Link("cat", "a")),
    )
    assert linked([odd]) == (["machine-cat a", "machine-disk a"], 1)
    assert linked([odd]) == (["machine-cat a", "machine-disk a"], 0)
    assert linked([machine("x", "a")]) == (["machine-disk d-a"], 1)


def test_duplicate_registrations_are_refused(transactional_db):
    with example_provider():
        with pytest.raises(ValueError, match="Two providers"):
            registry.register_provider(type("Another", (registry._providers["nimbus"].__class__,), {}))
        with pytest.raises(ValueError, match="Two syncers"):
            registry.register_syncer(type("Another", (DiskSyncer,), {}))
        assert ResourceType.objects.filter(provider="nimbus").count() == 2
    assert not ResourceType.objects.filter(provider="nimbus").exists()
    codes = [provider.code for provider in registry.list_providers()]
    assert "nimbus" not in codes and codes == sorted(codes)
    assert registry.find_syncer("nimbus", "disk") is None
