"""Errors of the client after faults of the cloud, the network or the caller."""

import dataclasses
import logging
import pickle
import time
import traceback

import pytest
import requests

from openstack_client import (
    Cloud,
    CloudAuthenticationError,
    CloudConflictError,
    CloudCredentials,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    CloudUnavailableError,
    InvalidCloudRequestError,
    Server,
    ServerNetwork,
)
from openstack_client.translation import error_from_exception
from tests.listings import read_all_pages

SECRET = "s3cret-of-nobody"


def count(control, method=None, path="servers"):
    found = control("GET", "requests")["requests"]
    return sum(path in r["path"] and method in (None, r["method"]) for r in found)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_server_errors_are_unavailable(cloud, control, server_id, status):
    control(
        "POST",
        "faults",
        [{"kind": "status", "status": status, "service": "compute", "headers": {"Retry-After": "7"}}],
    )
    with pytest.raises(CloudUnavailableError) as caught:
        cloud.compute.get_server(server_id)
    assert caught.value.status_code == status
    assert caught.value.retry_after == 7
    assert caught.value.code == "cloud_unavailable"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidCloudRequestError),
        (403, CloudForbiddenError),
        (409, CloudConflictError),
        (413, InvalidCloudRequestError),
        (404, CloudUnavailableError),
    ],
)
def test_other_statuses(cloud, control, server_id, status, kind):
    # The 404 here does not have the words of Nova's own: it must not count as "the server is gone".
    control("POST", "faults", [{"kind": "status", "status": status, "service": "compute"}])
    with pytest.raises(kind):
        cloud.compute.delete_server(server_id)


def test_invalid_json_is_unavailable(cloud, control, server_id):
    control("POST", "faults", [{"kind": "garbage", "service": "compute"}])
    with pytest.raises(CloudUnavailableError, match="is malformed"):
        cloud.compute.get_server(server_id)


def test_hang_ends_by_the_timeout_and_is_not_repeated(credentials, control, server_id):
    with Cloud(credentials, read_timeout=0.4) as cloud:
        control("DELETE", "requests")
        control("POST", "faults", [{"kind": "hang", "seconds": 60, "service": "compute"}])
        began = time.monotonic()
        with pytest.raises(CloudUnavailableError, match="did not answer in time"):
            cloud.compute.get_server(server_id)
        assert time.monotonic() - began < 30
    assert count(control) == 1


@pytest.mark.parametrize("kind", ["reset", "lose_answer"])
def test_read_is_repeated_once(cloud, control, server_id, kind):
    control("DELETE", "requests")
    control("POST", "faults", [{"kind": kind, "service": "compute", "times": 1}])
    assert cloud.compute.get_server(server_id).id == server_id
    assert count(control) == 2
    control("POST", "faults", [{"kind": kind, "service": "compute"}])
    with pytest.raises(CloudUnavailableError):
        cloud.compute.get_server(server_id)
    assert count(control) == 4


@pytest.mark.parametrize(("kind", "accepted"), [("reset", 0), ("lose_answer", 1)])
def test_change_is_never_repeated(cloud, control, server_id, kind, accepted):
    control("DELETE", "requests")
    control("POST", "faults", [{"kind": kind, "method": "POST", "times": 1}])
    with pytest.raises(CloudUnavailableError):
        cloud.compute.stop_server(server_id)
    assert count(control, "POST") == 1
    assert control.actions().get("os-stop", {"accepted": 0})["accepted"] == accepted
    assert cloud.compute.get_server(server_id).status == ("SHUTOFF" if accepted else "ACTIVE")


def test_nobody_listens(credentials):
    away = dataclasses.replace(credentials, auth_url="http://127.0.0.1:9/identity/v3")
    with Cloud(away) as cloud, pytest.raises(CloudUnavailableError):
        cloud.check()


def test_quota_has_the_clouds_figures(cloud, control):
    control("POST", "quotas", {"project": "demo", "instances": 0, "volumes": 0})
    flavor, image = cloud.compute.list_flavors()[0], cloud.image.list_images()[0]
    network = next(n for n in read_all_pages(cloud.network.network_pages()) if not n.is_external)
    with pytest.raises(
        CloudQuotaExceededError, match="Quota exceeded for instances: Requested 1, but already used 0 of 0"
    ):
        cloud.compute.create_server(
            name="x", flavor_id=flavor.id, image_id=image.id, networks=[ServerNetwork(network.id)], tags=["t"]
        )
    with pytest.raises(CloudQuotaExceededError, match="VolumeLimitExceeded"):
        cloud.block_storage.create_volume(name="x", size_gb=1)


def test_guard_runs_before_every_request_and_its_exception_comes_out(credentials, control):
    class NotNowError(Exception):
        pass

    refuse = False
    calls = 0

    def guard():
        nonlocal calls
        calls += 1
        if refuse:
            raise NotNowError

    with Cloud(credentials, guard=guard) as cloud:
        cloud.check()
        refuse = True
        control("DELETE", "requests")
        before = calls
        with pytest.raises(NotNowError):
            list(cloud.compute.list_servers())
        assert calls > before
        assert control("GET", "requests")["requests"] == []
        # A guard may also raise what we would otherwise translate.
        refuse = False
        cloud._transport._guard = None
        cloud.check()


def test_guard_in_the_middle_of_a_login(credentials, control):
    raised = requests.ConnectionError("the guard's own")
    calls = iter(range(100))

    def guard():
        if next(calls) >= 1:
            raise raised

    with Cloud(credentials, guard=guard) as cloud, pytest.raises((requests.ConnectionError, CloudError)):
        cloud.check()
    assert control("GET", "requests")["requests"] == []


def texts_of(error):
    """Everything that could be printed of an exception and of what it hangs on to."""
    seen, todo = [], [error]
    while todo:
        one = todo.pop()
        seen += [repr(one), str(one), repr(vars(one)), "".join(traceback.format_exception(one))]
        request = getattr(one, "request", None)
        seen.append(repr(getattr(request, "body", None)))
        todo += [e for e in (one.__cause__, one.__context__) if e is not None]
    return "\n".join(seen)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:9"])
def test_secrets_never_show(control, caplog, address):
    caplog.set_level(logging.DEBUG)
    wrong = CloudCredentials(
        auth_url=(address or control.server.url) + "/identity/v3",
        username="demo",
        password=SECRET,
        project_name="demo",
    )
    with Cloud(wrong) as cloud:
        with pytest.raises(CloudError) as caught:
            cloud.check()
        assert caught.value.__cause__ is None and caught.value.__context__ is None
        assert SECRET not in texts_of(caught.value) + repr(wrong) + str(wrong) + repr(cloud) + caplog.text


def test_secret_echoed_by_a_cloud_is_masked(control, credentials):
    error = error_from_exception(
        requests.ConnectionError(f"proxy says: {SECRET} gAAAAABm0123456789abcdefghij"),
        service="identity",
        doing="log in",
        secrets=(SECRET,),
    )
    assert SECRET not in error.message and "gAAAA" not in error.message


def test_expired_token_is_renewed(cloud, control, server_id):
    control("DELETE", "tokens")
    assert cloud.compute.get_server(server_id).id == server_id


def test_tokens_are_shared_but_not_with_changed_credentials(credentials, control):
    class Cache(dict):
        def set(self, key, value, seconds):
            assert seconds > 0
            self[key] = value

    cache = Cache()
    with Cloud(credentials, token_cache=cache) as first:
        first.check()
    assert len(cache) == 1 and SECRET not in repr(cache)
    control("DELETE", "requests")
    with Cloud(credentials, token_cache=cache) as second:
        second.check()
    assert count(control, "POST", "auth/tokens") == 0
    with (
        Cloud(dataclasses.replace(credentials, password="other"), token_cache=cache) as third,
        pytest.raises(CloudAuthenticationError),
    ):
        third.check()
    cache.update(dict.fromkeys(cache, "not what we wrote"))
    with Cloud(credentials, token_cache=cache) as fourth:
        fourth.check()


def test_closed_cloud_is_unavailable(credentials):
    cloud = Cloud(credentials)
    cloud.check()
    cloud.close()
    cloud.close()
    with pytest.raises(CloudUnavailableError, match="closed"):
        cloud.check()


def test_missing_region(credentials):
    with (
        Cloud(credentials, region="Nowhere") as cloud,
        pytest.raises(InvalidCloudRequestError, match="Nowhere"),
    ):
        cloud.check()


@pytest.mark.parametrize(
    "bad", ["", "../secrets", "a/b", ".", "..", "%2e%2e", "a b", "x" * 300, "a\n", None, 7]
)
def test_ids_are_checked_before_anything_is_sent(cloud, control, bad):
    control("DELETE", "requests")
    for call in (cloud.compute.get_server, cloud.compute.delete_server, cloud.block_storage.get_volume):
        with pytest.raises(InvalidCloudRequestError) as caught:
            call(bad)
        assert caught.value.status_code is None
    assert control("GET", "requests")["requests"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "  "}, {"name": "x" * 256}, {"networks": []}, {"networks": [ServerNetwork("a/b")]}, {"tags": ["a,b"]},
        {"tags": [""]}, {"tags": []}, {"tags": "abc"}, {"tags": ["t"] * 51}, {"tags": ["a/b"]}, {"tags": ["t", "x" * 61]}, {"image_id": None}, {"boot_volume_id": "v"}, {"flavor_id": ""},
        {"metadata": {"a": 1}}, {"metadata": {"": "x"}},
    ],
)  # fmt: skip
def test_create_is_checked_before_anything_is_sent(cloud, control, wrong):
    control("DELETE", "requests")
    good = {"name": "x", "flavor_id": "f", "image_id": "i", "networks": [ServerNetwork("n")], "tags": ["t"]}
    with pytest.raises(InvalidCloudRequestError) as caught:
        cloud.compute.create_server(**{**good, **wrong})
    assert caught.value.status_code is None
    assert control("GET", "requests")["requests"] == []


def test_errors_survive_pickling():
    error = CloudUnavailableError("words", status_code=503, request_id="req-1", retry_after=2.5)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes.
    assert type(again) is CloudUnavailableError and vars(again) == vars(error) and str(again) == "words"


def test_records_tolerate_unknown_values():
    server = Server.from_json(
        {
            "id": "x",
            "status": "Weird",
            "addresses": {"n": [{"addr": "not-an-ip"}, 7]},
            "flavor": None,
            "created": "soon",
        }
    )
    assert server.status == "WEIRD" and server.addresses == () and server.created_at is None
    for malformed_answer in ({}, None, [], {"id": ""}, {"id": 7}):
        with pytest.raises(CloudUnavailableError):
            Server.from_json(malformed_answer)


def test_404_of_a_proxy_is_not_not_found(cloud):
    with pytest.raises(CloudNotFoundError):
        cloud.compute.get_server("11111111-1111-4111-8111-111111111111")


def test_listing_that_loops(cloud, monkeypatch):
    page = {"servers": [{"id": "a"}, {"id": "b"}]}
    monkeypatch.setattr(cloud._transport, "request", lambda *_, **__: page)
    with pytest.raises(CloudUnavailableError, match="loop"):
        read_all_pages(cloud.compute.server_pages(page_size=2))


def test_listing_that_repeats_a_marker_once_is_restarted(cloud, monkeypatch):
    first, second, third = ([{"id": "a"}, {"id": "b"}], [{"id": "x"}, {"id": "b"}], [{"id": "c"}])
    pages = iter({"servers": servers} for servers in (first, second, first, third, []))
    monkeypatch.setattr(cloud._transport, "request", lambda *_, **__: next(pages))
    assert [s.id for s in read_all_pages(cloud.compute.server_pages(page_size=2))] == ["a", "b", "c"]


def test_server_on_two_pages_is_listed_once(cloud, monkeypatch):
    pages = iter(
        [
            {"servers": [{"id": "a", "status": "BUILD"}, {"id": "b"}]},
            {"servers": [{"id": "a", "status": "ACTIVE"}, {"id": "c"}]},
            {"servers": []},
        ]
    )
    monkeypatch.setattr(cloud._transport, "request", lambda *_, **__: next(pages))
    assert [s.id for s in read_all_pages(cloud.compute.server_pages(page_size=2))] == ["a", "b", "c"]


def test_listing_that_breaks_off(cloud, control):
    control("POST", "seed", {"project": "demo", "servers": 5})
    control("POST", "faults", [{"kind": "status", "status": 500, "path": "detail", "times": 1}])
    with pytest.raises(CloudUnavailableError):
        read_all_pages(cloud.compute.server_pages(page_size=2))
    pages = cloud.compute.server_pages(page_size=2)
    assert len(next(pages)) == 2
    control("POST", "faults", [{"kind": "garbage", "path": "detail", "times": 1}])
    with pytest.raises(CloudUnavailableError):
        list(pages)
    assert len(read_all_pages(cloud.compute.server_pages(page_size=2))) == 5
