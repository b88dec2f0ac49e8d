"""Bad input: whatever a cloud answers, or an account says, there is a log with a plain reason, and nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from django.utils import timezone

from cloudaccounts.models import CloudResource
from cloudaccounts.registry import Link, ListedResource, list_syncers
from cloudaccounts.sync.resource_writer import write_page
from cloudaccounts.sync.resources import sync_resource
from openstack_client import Cloud, Volume

from .cloud_and_rows import (
    OWNERS,
    REGION,
    check_logs,
    check_rows,
    log_out,
    picture,
    rows,
    small_pages,
    stored,
    there,
    words_of,
)
from .odd_cloud import odd_cloud

TYPES = [syncer.type for syncer in list_syncers("openstack")]
SECRET = "very secret indeed"
# What a person must never be shown.
UNPLAIN = ("Traceback", "object at 0x", 'File "', "gAAAA", SECRET, "None:", "Exception")


def check_words(log, *wanted):
    """A failed log says why, in words for people, and never what is nobody's business."""
    said = words_of(log)
    for word in wanted:
        assert word in log.message, log.message
    assert not [word for word in UNPLAIN if word in said], said
    assert "error of the portal" not in said, said


# --- The account ---


def save(account, columns):
    """Change an account behind everybody's back."""
    for name, value in columns.items():
        setattr(account, name, value)
    account.save()


@pytest.fixture
def known(cloud, account):
    """The account after a good sync of its volumes."""
    cloud.call("POST", "seed", {"project": "demo", "volumes": 3, "snapshots": 2})
    assert sync_resource(account.pk, "volume").state == "success"
    return account


def test_an_account_that_cannot_be_used_says_why_and_keeps_what_was_known(
    simulator, cloud, known, caplog, settings, tmp_path, new_key
):
    bearer = cloud.session.post(
        f"{cloud.auth_url}/auth/tokens",
        json={
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "demo", "password": "demo", "domain": {"name": "Default"}}},
                },
                "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
            }
        },
    )
    user = bearer.json()["token"]["user"]["id"]
    credential = cloud.session.post(
        f"{cloud.auth_url}/users/{user}/application_credentials",
        json={
            "application_credential": {"name": "old", "secret": SECRET, "expires_at": "2001-01-01T00:00:00"}
        },
        headers={"X-Auth-Token": bearer.headers["X-Subject-Token"]},
    ).json()["application_credential"]["id"]
    expired = {"credential_kind": "application_credential", "access_id": credential}
    before = picture()

    with odd_cloud(simulator) as web_page, odd_cloud(simulator, tls_folder=tmp_path) as unsigned:
        web_page.spoil = lambda *_answer: (200, b"<html><body>Welcome to the intranet</body></html>")
        https = unsigned.auth_url.replace("http:", "https:")
        for columns, *words in [
            ({}, "401", "does not accept the credentials"),
            (expired, "401", "expired"),
            ({"project": "nobody's"}, "401", "does not accept the credentials"),
            ({"auth_url": f"{simulator.url}/nowhere/v3"}, "leads nowhere"),
            ({"auth_url": web_page.auth_url}, "is it the right address"),
            ({"auth_url": "http://127.0.0.1:9/v3"}, "connection refused"),
            ({"auth_url": "http://cloud.invalid/v3"}, "not known"),
            ({"auth_url": https}, "certificate"),
            ({"auth_url": unsigned.auth_url}, "127.0.0.1"),
            ({"auth_url": "http://"}, "names no host"),
            ({"provider": "cumulus"}, "'cumulus' is not installed"),
            ({"active": False}, "disabled"),
        ]:
            entered = {name: getattr(known, name) for name in columns}
            known.set_secret(SECRET)
            save(known, columns)
            log = sync_resource(known.pk, "volume")
            assert (log.state, log.created, log.expired) == ("failed", 0, 0), columns
            check_words(log, *words)
            assert picture() == before, columns
            save(known, entered)
    known.set_secret("demo")
    save(known, {})
    settings.ENCRYPTION_KEYS = [new_key()]
    check_words(sync_resource(known.pk, "volume"), "fits none of the keys")
    check_logs()
    assert picture() == before
    assert SECRET not in caplog.text


def test_a_region_without_the_service_says_so_and_keeps_what_was_known(cloud, known):
    before = picture()
    cloud.call("POST", "services", {"region": REGION, "without": ["block-storage"]})
    log_out()

    log = sync_resource(known.pk, "volume")

    assert (log.state, log.missing) == ("failed", 0)
    check_words(log, "no block-storage service")
    assert picture() == before
    assert sync_resource(known.pk, "flavor").state == "success", "what is there is synced all the same"
    partly = sync_resource(known.pk, "quota")
    assert (partly.state, partly.created > 0) == ("failed", True)
    check_words(partly, "no block-storage service")
    log_out()  # A token keeps the catalog that it came with.


# --- The answers ---


def is_listing(path):
    """Whether a path is that of the volumes' listing."""
    return path.endswith("/volumes/detail")


def spoilt(change):
    """Spoils the listing of volumes: `change` gets its JSON and changes it, or gives back bytes instead."""

    def spoil(path, status, body):
        if not is_listing(path):
            return status, body
        page = json.loads(body)
        other = change(page)
        return status, other if isinstance(other, bytes) else json.dumps(page).encode()

    return spoil


NONSENSE = [
    (spoilt(lambda page: b"<html>Bad gateway</html>"), "something else than JSON"),
    (spoilt(lambda page: b'{"volumes": [{"id": "1", "si'), "something else than JSON"),
    (spoilt(lambda page: b"[" * 100_000), "nested too deeply"),
    (spoilt(lambda page: b"[]"), "no list of volumes"),
    (spoilt(lambda page: b'{"volumes": {}}'), "no list of volumes"),
    (spoilt(lambda page: b""), "no list of volumes"),
    (lambda path, status, body: (503, b"") if is_listing(path) else (status, body), "503"),
    (
        lambda path, status, body: (404, b"<html>") if is_listing(path) else (status, body),
        "not from the service",
    ),
    (
        lambda path, status, body: (
            (500, json.dumps({"x": {"message": "a\0b\ud800c " * 9000}}).encode())
            if is_listing(path)
            else (status, body)
        ),
        "500",
    ),
]


def test_an_answer_that_makes_no_sense_is_a_failed_log_with_a_plain_reason(simulator, cloud, known):
    with odd_cloud(simulator) as odd:
        save(known, {"auth_url": odd.auth_url})
        assert sync_resource(known.pk, "volume").state == "success"
        before = picture()
        for number, (spoil, word) in enumerate(NONSENSE):
            odd.spoil = spoil
            log = sync_resource(known.pk, "volume")
            assert (log.state, log.created, log.updated, log.expired) == ("failed", 0, 0, 0), number
            check_words(log, word)
            assert picture() == before, number
        odd.be_good()
        assert sync_resource(known.pk, "volume").state == "success"
    check_logs()


def test_a_listing_that_turns_in_a_circle_ends_and_expires_nothing(simulator, cloud, known, monkeypatch):
    small_pages(monkeypatch, 2)
    with odd_cloud(simulator) as odd:
        save(known, {"auth_url": odd.auth_url})
        sync_resource(known.pk, "volume")
        before = rows(type="volume")
        odd.steer = lambda target: target.split("&marker=")[0]
        odd.asked.clear()
        for _ in range(3):
            log = sync_resource(known.pk, "volume")
            assert (log.state, log.expired, log.missing) == ("failed", 0, 0)
            check_words(log, "turns in a circle")
        assert len([target for target in odd.asked if is_listing(target.split("?")[0])]) == 6
    assert rows(type="volume") == before == there(simulator, "volume")
    check_rows()


def test_a_cloud_that_hangs_in_the_middle_of_a_listing_is_given_up(simulator, cloud, known, monkeypatch):
    small_pages(monkeypatch, 2)
    monkeypatch.setitem(Cloud.__init__.__kwdefaults__, "read_timeout", 0.5)
    log_out()
    cloud.faults(
        {"kind": "delay", "seconds": 0, "path": "/volumes/detail", "times": 1},
        {"kind": "hang", "seconds": 3, "path": "/volumes/detail", "times": 1},
    )
    before = rows()

    log = sync_resource(known.pk, "volume")

    assert (log.state, log.expired, log.missing, log.unchanged) == ("failed", 0, 0, 2)
    check_words(log, "did not answer in time")
    assert rows() == before
    assert sync_resource(known.pk, "volume").unchanged == len(there(simulator, "volume"))


def test_an_object_that_comes_twice_is_one_row_counted_once(simulator, cloud, known, monkeypatch):
    small_pages(monkeypatch, 2)
    CloudResource.objects.all().delete()
    first = []

    def repeat(page):
        """Each page shows its last object twice, and the first object of all again, with another name and links."""
        if not page["volumes"]:
            return
        first.append(page["volumes"][0])
        page["volumes"].append(dict(page["volumes"][-1]))
        if len(first) > 1:
            page["volumes"].insert(0, {**first[0], "name": "again", "snapshot_id": "another"})

    with odd_cloud(simulator) as odd:
        save(known, {"auth_url": odd.auth_url})
        odd.spoil = spoilt(repeat)
        log = sync_resource(known.pk, "volume")
        assert (log.state, log.created, log.updated) == ("success", len(there(simulator, "volume")), 0)
        check_rows()
        twice = CloudResource.objects.get(cloud_id=first[0]["id"])
        assert (twice.name, twice.links.count()) == (first[0]["name"], 0), (
            "half of it is of one, half of the other"
        )
        first.clear()
        log = sync_resource(known.pk, "volume")
        assert (log.created, log.updated, log.unchanged) == (0, 0, len(there(simulator, "volume")))
    assert rows(type="volume") == there(simulator, "volume")
    check_rows()


# --- The objects ---

NESTED = "the end"
for _depth in range(40):
    NESTED = {"deeper": [NESTED]}
JUNK = [
    None,
    True,
    -(2**70),
    1.5e300,
    "",
    "n" * 65_536,
    "a\x00b\ud800c\udfff \U0001f600",
    "2024-99-99T99:99:99Z",
    [],
    [None, 1, "x", {}, ["y"]],
    {"": None, "\x00": "\ud800", "a": {"b": 1}},
    {f"key {number}": "v" * 1000 for number in range(100)},
    NESTED,
]
RAW = {
    "server": "servers",
    "image": "images",
    "network": "networks",
    "subnet": "subnets",
    "security_group": "security_groups",
    "router": "routers",
    "port": "ports",
    "floating_ip": "floating_ips",
    "snapshot": "snapshots",
    "volume": "volumes",
}
# Without these, an object is not the project's, or is hidden on purpose: that it is not listed is right.
DECIDING = {"id", "tenant_id", "os_hidden", *OWNERS, "visibility", "shared", "router:external"}


def fields_of(simulator, cloud, type_code):
    """The fields of an object of a type as the cloud shows it."""
    if type_code == "server":
        return SERVER_FIELDS
    return [name for name in next(iter(stored(simulator, type_code).values())) if name not in DECIDING]


SERVER_FIELDS = (
    *("name", "status", "flavor", "image", "addresses", "metadata", "tags", "key_name", "created", "updated"),
    *("security_groups", "fault", "OS-EXT-AZ:availability_zone", "OS-EXT-STS:task_state"),
    *("os-extended-volumes:volumes_attached", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state", "links"),
)


# What cannot be read, and how it is named in the log.
UNREADABLE = [
    ("a volume", "no object"),
    (None, "no object"),
    ({"name": "no id"}, '"no id": volume without an id'),
    ({"id": None, "name": "null"}, '"null": volume without an id'),
    ({"id": 7}, "without an id"),
    ({"id": {"a": 1}}, "without an id"),
]


@pytest.mark.parametrize(("odd", "words"), UNREADABLE)
def test_what_has_no_id_is_counted_and_named_and_the_others_are_synced(simulator, cloud, known, odd, words):
    with odd_cloud(simulator) as cloud_with_one_odd:
        save(known, {"auth_url": cloud_with_one_odd.auth_url})
        lost, *_others = there(simulator, "volume")

        def change(page):
            page["volumes"] = [one for one in page["volumes"] if one["id"] != lost]
            if page["volumes"]:
                page["volumes"].insert(0, odd)
                page["volumes"][-1]["name"] = "new name"

        cloud_with_one_odd.spoil = spoilt(change)
        for _ in range(3):
            log = sync_resource(known.pk, "volume")
            assert (log.state, log.unreadable, log.missing, log.expired) == ("success", 1, 0, 0)
            assert words in log.message and words in words_of(log), words_of(log)
            assert "no resource counts as missing" in words_of(log)
        assert known.resources.filter(name="new name").exists()
        assert lost in rows(type="volume"), "it may be the one that has no id"


def test_what_cannot_be_read_and_has_an_id_is_not_gone_and_the_missing_are(
    simulator, cloud, known, monkeypatch
):
    odd, lost, *_others = there(simulator, "volume")
    real = Volume.from_json.__func__

    def from_json(cls, raw):
        if raw["id"] == odd:
            raise ArithmeticError("seven")
        return real(cls, raw)

    with odd_cloud(simulator) as without_one:
        save(known, {"auth_url": without_one.auth_url})

        def change(page):
            page["volumes"] = [one for one in page["volumes"] if one["id"] != lost]

        without_one.spoil = spoilt(change)
        monkeypatch.setattr(Volume, "from_json", classmethod(from_json))
        for _ in range(3):
            log = sync_resource(known.pk, "volume")
            assert (log.state, log.unreadable) == ("success", 1)
            assert odd in log.message and "ArithmeticError" in log.message
    assert odd in rows(type="volume") and lost not in rows(type="volume")


def test_ids_that_are_none_are_named_and_the_others_are_synced(simulator, cloud, account):
    cloud.call("POST", "seed", {"project": "demo", "raw": {"volumes": [{"id": odd} for odd in ODD_IDS]}})
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.unreadable) == ("success", len(ODD_IDS))
    assert rows(type="volume") == {
        key: name for key, name in there(simulator, "volume").items() if key not in ODD_IDS
    }
    assert "../../etc/passwd" in words_of(log)


@pytest.mark.django_db
def test_what_the_database_or_python_refuses_of_a_page_is_left_out_alone(account):
    page = [ListedResource(f"volume-{number}", "name") for number in range(20)]
    page[3] = replace(page[3], links=(Link("t" * 300, "x"),))
    page[7] = replace(page[7], attributes={"x": object()})
    page[8] = replace(page[8], attributes={"x": 10**5000})
    place = (account.pk, REGION, "volume")

    written, refused = write_page(place, page, timezone.now())

    assert (written.created, [one.cloud_id for one in refused]) == (17, ["volume-3", "volume-7", "volume-8"])
    assert all(one.reason for one in refused)
    assert set(rows()) == {one.cloud_id for one in page} - {one.cloud_id for one in refused}


ODD_IDS = ["x" * 300, "../../etc/passwd", "a\x00b\ud800", "ü" * 255, "%00"]


def test_junk_in_any_field_of_an_object_spoils_nothing_else(simulator, cloud, account):
    cloud.call("POST", "seed", {"project": "demo", "volumes": 1, **dict.fromkeys(RAW.values(), 2)})
    for type_code, kind in RAW.items():
        proper = there(simulator, type_code)
        raw = [{field: junk} for field in fields_of(simulator, cloud, type_code) for junk in JUNK]
        if type_code == "volume":
            raw.append({"metadata": {f"key {number}": "v" * 1000 for number in range(1000)}})
        cloud.call("POST", "seed", {"project": "demo", "raw": {kind: raw}})

        log = sync_resource(account.pk, type_code)

        assert (log.state, log.message) == ("success", ""), words_of(log)
        assert log.created == len(proper) + len(raw), type_code
        found = rows(type=type_code)
        assert {key: found[key] for key in proper} == proper
        again = sync_resource(account.pk, type_code)
        assert (again.state, again.updated, again.unchanged) == ("success", 0, len(found)), (
            "junk is not stable"
        )
    kept = CloudResource.objects.all()
    assert max(len(json.dumps(resource.attributes)) for resource in kept) <= 70_000
    large = kept.filter(type="volume", attributes__left_out=["metadata"])
    assert {one.attributes["size_gb"] for one in large} == {10}, "what was not too much is gone too"
    assert kept.filter(type="volume", status="n" * 50).exists(), "a word that nobody knows is shown as it is"
    check_rows()
