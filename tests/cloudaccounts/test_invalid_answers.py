"""Invalid accounts and invalid answers of clouds: the log fails with a clear reason, and no row is lost."""

from __future__ import annotations

import json

from cloudaccounts.models import CloudResource
from cloudaccounts.registry import list_syncers
from cloudaccounts.sync.resources import sync_resource
from openstack_client import Cloud
from openstack_client.paging import MAX_RESTARTS

from .faulty_cloud import faulty_cloud, is_volume_listing, rewrite_volume_pages
from .resource_checks import (
    REGION,
    check_logs,
    check_rows,
    close_clouds,
    limit_page_sizes,
    list_cloud_names,
    list_row_names,
    read_all_rows,
    read_log_texts,
    save_columns,
)

TYPES = [syncer.type for syncer in list_syncers("openstack")]
SECRET = "very secret indeed"
# Texts that must never be shown to people.
FORBIDDEN_TEXTS = ("Traceback", "object at 0x", 'File "', "gAAAA", SECRET, "None:", "Exception")


def check_message(log, *reasons):
    """Check that a log names the reasons, and no secret, traceback or internal error."""
    texts = read_log_texts(log)
    for reason in reasons:
        assert reason in log.message, log.message
    assert not [forbidden for forbidden in FORBIDDEN_TEXTS if forbidden in texts], texts
    assert "Internal error" not in texts, texts


def test_sync_of_an_unusable_account_fails_with_a_reason_and_keeps_rows(
    simulator, cloud, synced_account, caplog, settings, tmp_path, new_key
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
    before = read_all_rows()

    with faulty_cloud(simulator) as web_page, faulty_cloud(simulator, tls_folder=tmp_path) as unsigned:
        web_page.rewrite_answer = lambda *_answer: (200, b"<html><body>Welcome to the intranet</body></html>")
        https = unsigned.auth_url.replace("http:", "https:")
        for columns, *words in [
            ({}, "401", "does not accept the credentials"),
            (expired, "401", "expired"),
            ({"project": "nobody's"}, "401", "does not accept the credentials"),
            ({"auth_url": f"{simulator.url}/nowhere/v3"}, "there is no service at"),
            ({"auth_url": web_page.auth_url}, "check the address"),
            ({"auth_url": "http://127.0.0.1:9/v3"}, "connection refused"),
            ({"auth_url": "http://cloud.invalid/v3"}, "does not resolve"),
            ({"auth_url": https}, "certificate"),
            ({"auth_url": unsigned.auth_url}, "127.0.0.1"),
            ({"auth_url": "http://"}, "no valid host name"),
            ({"provider": "cumulus"}, "'cumulus' is not installed"),
            ({"active": False}, "disabled"),
        ]:
            entered = {name: getattr(synced_account, name) for name in columns}
            synced_account.set_secret(SECRET)
            save_columns(synced_account, columns)
            log = sync_resource(synced_account.pk, "volume")
            assert (log.state, log.created, log.expired) == ("failed", 0, 0), columns
            check_message(log, *words)
            assert read_all_rows() == before, columns
            save_columns(synced_account, entered)
    synced_account.set_secret("demo")
    save_columns(synced_account, {})
    settings.ENCRYPTION_KEYS = [new_key()]
    check_message(sync_resource(synced_account.pk, "volume"), "fits none of the keys")
    check_logs()
    assert read_all_rows() == before
    assert SECRET not in caplog.text


def test_sync_of_a_region_without_the_service_fails_and_keeps_rows(cloud, synced_account):
    before = read_all_rows()
    cloud.call("POST", "services", {"region": REGION, "without": ["block-storage"]})
    close_clouds()

    log = sync_resource(synced_account.pk, "volume")

    assert (log.state, log.missing) == ("failed", 0)
    check_message(log, "no block-storage service")
    assert read_all_rows() == before
    assert sync_resource(synced_account.pk, "flavor").state == "success", (
        "other services are synced nevertheless"
    )
    partly = sync_resource(synced_account.pk, "quota")
    assert (partly.state, partly.created > 0) == ("failed", True)
    check_message(partly, "no block-storage service")
    close_clouds()  # Existing tokens keep their catalog.


INVALID_ANSWERS = [
    (rewrite_volume_pages(lambda page: b"<html>Bad gateway</html>"), "something else than JSON"),
    (rewrite_volume_pages(lambda page: b'{"volumes": [{"id": "1", "si'), "something else than JSON"),
    (rewrite_volume_pages(lambda page: b"[" * 100_000), "nested too deeply"),
    (rewrite_volume_pages(lambda page: b"[]"), "no list of volumes"),
    (rewrite_volume_pages(lambda page: b'{"volumes": {}}'), "no list of volumes"),
    (rewrite_volume_pages(lambda page: b""), "no list of volumes"),
    (lambda path, status, body: (503, b"") if is_volume_listing(path) else (status, body), "503"),
    (
        lambda path, status, body: (404, b"<html>") if is_volume_listing(path) else (status, body),
        "not from the service",
    ),
    (
        lambda path, status, body: (
            (500, json.dumps({"x": {"message": "a\0b\ud800c " * 9000}}).encode())
            if is_volume_listing(path)
            else (status, body)
        ),
        "500",
    ),
]


def test_invalid_answer_fails_the_sync_with_a_reason(simulator, cloud, synced_account):
    with faulty_cloud(simulator) as proxy:
        save_columns(synced_account, {"auth_url": proxy.auth_url})
        assert sync_resource(synced_account.pk, "volume").state == "success"
        before = read_all_rows()
        for number, (rewrite_answer, reason) in enumerate(INVALID_ANSWERS):
            proxy.rewrite_answer = rewrite_answer
            log = sync_resource(synced_account.pk, "volume")
            assert (log.state, log.created, log.updated, log.expired) == ("failed", 0, 0, 0), number
            check_message(log, reason)
            assert read_all_rows() == before, number
        proxy.reset()
        assert sync_resource(synced_account.pk, "volume").state == "success"
    check_logs()


def test_listing_that_loops_ends_and_expires_nothing(simulator, cloud, synced_account, monkeypatch):
    limit_page_sizes(monkeypatch, 2)
    with faulty_cloud(simulator) as proxy:
        save_columns(synced_account, {"auth_url": proxy.auth_url})
        sync_resource(synced_account.pk, "volume")
        before = list_row_names(type="volume")
        proxy.rewrite_target = lambda target: target.split("&marker=")[0]
        proxy.requested_targets.clear()
        for _ in range(3):
            log = sync_resource(synced_account.pk, "volume")
            assert (log.state, log.expired, log.missing) == ("failed", 0, 0)
            check_message(log, "loops at")
        listings = [target for target in proxy.requested_targets if is_volume_listing(target.split("?")[0])]
        # Each sync reads two pages, and restarts a few times.
        assert len(listings) == 3 * 2 * (MAX_RESTARTS + 1)
    assert list_row_names(type="volume") == before == list_cloud_names(simulator, "volume")
    check_rows()


def test_listing_that_hangs_times_out_and_expires_nothing(simulator, cloud, synced_account, monkeypatch):
    limit_page_sizes(monkeypatch, 2)
    monkeypatch.setitem(Cloud.__init__.__kwdefaults__, "read_timeout", 0.5)
    close_clouds()
    cloud.faults(
        {"kind": "delay", "seconds": 0, "path": "/volumes/detail", "times": 1},
        {"kind": "hang", "seconds": 3, "path": "/volumes/detail", "times": 1},
    )
    before = list_row_names()

    log = sync_resource(synced_account.pk, "volume")

    assert (log.state, log.expired, log.missing, log.unchanged) == ("failed", 0, 0, 2)
    check_message(log, "did not answer in time")
    assert list_row_names() == before
    assert sync_resource(synced_account.pk, "volume").unchanged == len(list_cloud_names(simulator, "volume"))


def test_object_that_is_listed_twice_is_one_row_counted_once(simulator, cloud, synced_account, monkeypatch):
    limit_page_sizes(monkeypatch, 2)
    CloudResource.objects.all().delete()
    first = []

    def repeat(page):
        """List the last object of each page twice, and the first object again, with another name and links."""
        if not page["volumes"]:
            return
        first.append(page["volumes"][0])
        page["volumes"].append(dict(page["volumes"][-1]))
        if len(first) > 1:
            page["volumes"].insert(0, {**first[0], "name": "again", "snapshot_id": "another"})

    with faulty_cloud(simulator) as proxy:
        save_columns(synced_account, {"auth_url": proxy.auth_url})
        proxy.rewrite_answer = rewrite_volume_pages(repeat)
        log = sync_resource(synced_account.pk, "volume")
        assert (log.state, log.created, log.updated) == (
            "success",
            len(list_cloud_names(simulator, "volume")),
            0,
        )
        check_rows()
        repeated = CloudResource.objects.get(cloud_id=first[0]["id"])
        assert (repeated.name, repeated.links.count()) == (first[0]["name"], 0), "the row mixes both objects"
        first.clear()
        log = sync_resource(synced_account.pk, "volume")
        assert (log.created, log.updated, log.unchanged) == (0, 0, len(list_cloud_names(simulator, "volume")))
    assert list_row_names(type="volume") == list_cloud_names(simulator, "volume")
    check_rows()
