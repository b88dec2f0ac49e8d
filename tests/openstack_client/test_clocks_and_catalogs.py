"""Clouds with clock offsets, and unusual catalogs."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from openstack_client import Cloud, CloudError, CloudServiceMissingError
from openstack_client.catalog import normalize_catalog
from tests.listings import read_all_pages

AHEAD, BEHIND = 1200.0, -1200.0


@pytest.fixture
def opened(credentials):
    """Opens clouds, and closes them."""
    clouds = []

    def open_one(**options):
        clouds.append(Cloud(credentials, **options))
        return clouds[-1]

    yield open_one
    for cloud in clouds:
        cloud.close()


def logins(control):
    found = control("GET", "requests")["requests"]
    return sum(entry["path"].endswith("/auth/tokens") for entry in found)


# --- Clocks ---


@pytest.mark.parametrize("offset", [AHEAD, BEHIND, 0.0])
def test_lifetime_of_a_token_does_not_depend_on_the_clouds_clock(control, opened, offset):
    # Ten minutes: for a cloud that is twenty behind, it is over by our clock before it comes.
    control("POST", "clock", {"advance_seconds": offset, "token_seconds": 600})
    control("DELETE", "requests")
    kept = {}

    class Cache:
        def get(self, key):
            return kept.get(key)

        def set(self, key, value, seconds):
            assert 500 < seconds < 600
            kept[key] = value

    for _ in range(2):
        cloud = opened(token_cache=Cache())
        for _ in range(3):
            cloud.compute.check()
    assert logins(control) == 1
    assert len(kept) == 1


@pytest.mark.timeout(30)
def test_requests_do_not_wait_after_our_clock_was_set_back(opened):
    """keystoneauth's semaphore makes each request wait until the time of day at which the client was made."""
    cloud = opened()
    cloud.compute.check()
    proxy = cloud._transport._get_proxy("compute")
    proxy._rate_semaphore._rate_last_ts += 3600

    cloud.compute.check()


def test_expired_token_is_renewed_whatever_the_clock(control, opened):
    control("POST", "clock", {"advance_seconds": AHEAD, "token_seconds": 600})
    cloud = opened()
    cloud.compute.check()
    control("POST", "clock", {"advance_seconds": 700})
    cloud.compute.check()
    control("DELETE", "requests")
    cloud.compute.check()
    assert logins(control) == 0


@pytest.mark.parametrize("offset", [AHEAD, BEHIND])
@pytest.mark.parametrize("dated", [True, False], ids=["Date", "no Date"])
def test_clock_offset_is_measured_and_applied_to_changes_since(control, opened, offset, dated):
    control("POST", "clock", {"advance_seconds": offset})
    control("POST", "habits", {"date_header": dated})
    server_id = control("POST", "seed", {"project": "demo", "servers": 1})["servers"][0]
    cloud = opened()
    cloud.compute.check()
    assert cloud.clock_offset() == pytest.approx(offset, abs=10)

    since = datetime.now(UTC) - timedelta(seconds=5)
    control("PATCH", f"servers/{server_id}", {"status": "SHUTOFF"})
    changed = [one.id for one in cloud.compute.list_servers(changes_since=since)]
    assert changed == [server_id]


def test_first_listing_of_changes_reads_the_clouds_clock(control, opened):
    control("POST", "clock", {"advance_seconds": BEHIND})
    server_id = control("POST", "seed", {"project": "demo", "servers": 1})["servers"][0]
    control("PATCH", f"servers/{server_id}", {"status": "SHUTOFF"})
    since = datetime.now(UTC) - timedelta(seconds=5)
    assert [one.id for one in opened().compute.list_servers(changes_since=since)] == [server_id]


def test_changes_before_a_clock_correction_are_not_missed(control, opened, monkeypatch):
    monkeypatch.setattr("openstack_client.clock._MIN_INTERVAL_SECONDS", 0.0)
    control("POST", "clock", {"advance_seconds": BEHIND})
    server_id = control("POST", "seed", {"project": "demo", "servers": 1})["servers"][0]
    cloud = opened()
    cloud.compute.check()
    since = datetime.now(UTC) - timedelta(seconds=5)
    control("PATCH", f"servers/{server_id}", {"status": "SHUTOFF"})
    control("POST", "clock", {"advance_seconds": -BEHIND})
    cloud.compute.check()
    assert [one.id for one in cloud.compute.list_servers(changes_since=since)] == [server_id]


# --- Catalogs ---

INTERFACES = ("public", "internal", "admin")


def touch(cloud):
    """Call each service once."""
    cloud.check()
    cloud.block_storage.list_volume_types()
    read_all_pages(cloud.network.network_pages())
    cloud.image.list_images()


@pytest.mark.story
def test_every_interface_region_and_form_of_endpoint(control, opened):
    for interface, region, path in itertools.product(
        INTERFACES, ["named", None, "absent"], ["usual", "unversioned", "versioned", "slash"]
    ):
        control(
            "POST",
            "habits",
            {"interfaces": [interface], "endpoint_region": region, "endpoint_path": path},
        )
        known = ["RegionOne"] if region == "named" else [""]
        cloud = opened(interface=interface)
        assert cloud.list_regions() == known and "compute" in cloud.list_services()[known[0]]
        touch(cloud)
        touch(opened(interface=interface, region=known[0] or None))
        cloud.close()


def test_error_of_a_missing_interface_lists_the_existing_ones(control, opened):
    control("POST", "habits", {"interfaces": ["internal", "admin"]})
    cloud = opened()
    assert (
        cloud.list_regions() == []
        and cloud.list_services() == {"RegionOne": ["identity"]}
        and cloud.list_interfaces() == ["admin", "internal"]
    )
    with pytest.raises(CloudServiceMissingError, match="admin in RegionOne, internal in RegionOne"):
        cloud.compute.check()
    with pytest.raises(CloudServiceMissingError, match="It has admin in RegionOne"):
        opened(interface="internal", region="Nowhere").compute.check()


JUNK = [None, 7, "x", [], {}, {"type": 5}, {"type": "compute"}, {"type": "compute", "endpoints": None}]
JUNK += [
    {
        "type": "compute",
        "endpoints": [None, {}, {"url": 5}, {"url": ""}, {"url": "http://x", "interface": {}}],
    }
]


@pytest.mark.parametrize("catalog", [[], None, {}, "x", JUNK], ids=repr)
def test_empty_catalog_is_refused_with_a_reason(control, opened, catalog):
    control("POST", "habits", {"catalog": catalog})
    cloud = opened()
    assert cloud.list_regions() == [] and cloud.list_services() == {}
    with pytest.raises(CloudError) as caught:
        cloud.compute.check()
    assert isinstance(caught.value, CloudServiceMissingError), caught.value


def test_invalid_entries_of_a_catalog_are_skipped(control, opened, credentials):
    with Cloud(credentials) as usual:
        good = usual._transport.get_access().service_catalog.catalog
    control(
        "POST",
        "habits",
        {"catalog": [*JUNK, *good, *good, {**good[0], "endpoints": [None, *good[0]["endpoints"]]}]},
    )
    touch(opened())


def test_duplicate_endpoints_are_dropped():
    endpoint = {"url": "http://x", "interface": "publicURL", "region": "R", "id": "1"}
    found = normalize_catalog([{"type": "compute", "endpoints": [endpoint, {**endpoint, "id": "2"}]}])
    assert found[0]["endpoints"] == [
        {"url": "http://x", "interface": "public", "region": "R", "region_id": "R", "id": "1"}
    ]
