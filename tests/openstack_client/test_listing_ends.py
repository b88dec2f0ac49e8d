"""Every listing of every service reaches its proven end, or raises."""

import pytest

from openstack_client import CloudError, CloudUnavailableError
from openstack_client.paging import MAX_RESTARTS, RecordPage, json_pages
from tests.listings import read_all_pages

# More of each than one page of the smallest limit holds.
COUNT, LIMIT = 7, 3
LISTINGS = {
    "servers": lambda cloud: cloud.compute.server_pages(),
    "readings": lambda cloud: cloud.compute.reading_pages(),
    "flavors": lambda cloud: iter([cloud.compute.list_flavors()]),
    "keypairs": lambda cloud: iter([cloud.compute.list_keypairs()]),
    "volumes": lambda cloud: cloud.block_storage.volume_pages(),
    "snapshots": lambda cloud: cloud.block_storage.snapshot_pages(),
    "volume_types": lambda cloud: iter([cloud.block_storage.list_volume_types()]),
    "images": lambda cloud: cloud.image.image_pages(),
    "networks": lambda cloud: cloud.network.network_pages(),
    "subnets": lambda cloud: cloud.network.subnet_pages(),
    "routers": lambda cloud: cloud.network.router_pages(),
    "ports": lambda cloud: cloud.network.port_pages(),
    "floating_ips": lambda cloud: cloud.network.floating_ip_pages(),
    "security_groups": lambda cloud: cloud.network.security_group_pages(),
}
SEEDED = ("servers", "keypairs", "volumes", "snapshots", "images", "networks", "subnets", "routers", "ports")
SEEDED += ("floating_ips", "security_groups", "flavors", "volume_types")


def ids(pages):
    return [getattr(one, "id", None) or one.name for page in pages for one in page]


@pytest.fixture
def full(cloud, control):
    """A cloud that has more of read_all_pages than one page holds."""
    control("POST", "seed", {"project": "demo", **dict.fromkeys(SEEDED, COUNT)})
    return {kind: ids(list_all(cloud)) for kind, list_all in LISTINGS.items()}


def asked(control, word="limit="):
    return [entry for entry in control("GET", "requests")["requests"] if word in entry["query"]]


def test_listings_are_complete_for_any_page_limit_and_links(cloud, control, full):
    assert all(len(found) > 1 for found in full.values()), {k: len(v) for k, v in full.items()}
    for habits in (
        {"page_limit": LIMIT},
        {"page_limit": LIMIT, "page_links": False},
        {"page_limit": LIMIT, "page_links": "elsewhere"},
        {"page_limit": LIMIT, "page_links": "loop"},
        {"page_limit": 1, "page_links": False},
    ):
        control("DELETE", "habits")
        control("POST", "habits", habits)
        for kind, list_all in LISTINGS.items():
            found = ids(list_all(cloud))
            assert sorted(found) == sorted(full[kind]), (kind, habits)
            assert len(found) == len(set(found))


def test_unknown_marker_restarts_the_listing_without_duplicates(cloud, control, full):
    for kind, list_all in LISTINGS.items():
        control("POST", "habits", {"page_limit": 1, "gone_markers": MAX_RESTARTS})
        found = ids(list_all(cloud))
        assert sorted(found) == sorted(full[kind]), kind
        assert len(found) == len(set(found))
        control("POST", "habits", {"gone_markers": MAX_RESTARTS + 1})
        with pytest.raises(CloudUnavailableError, match="broke off"):
            ids(list_all(cloud))


def test_volume_deleted_between_pages_restarts_the_listing(cloud, control, full):
    pages = cloud.block_storage.volume_pages(page_size=2)
    first = next(pages)
    control("DELETE", f"volumes/{first[-1].id}")
    rest = ids(pages)
    assert set(rest) | {first[0].id, first[1].id} == set(full["volumes"])
    assert len(rest) == len(set(rest)) and not {one.id for one in first} & set(rest)


def test_ignored_marker_is_detected(cloud, control, full):
    control("POST", "habits", {"page_limit": 1, "page_links": False, "ignores_marker": True})
    for kind, list_all in LISTINGS.items():
        control("DELETE", "requests")
        with pytest.raises(CloudUnavailableError, match="loop"):
            ids(list_all(cloud))
        assert len(asked(control)) == 2 * (MAX_RESTARTS + 1), kind


def test_end_of_a_short_listing_is_proved_by_one_request(cloud, control):
    control("POST", "seed", {"project": "demo", "volumes": 2})
    cloud.block_storage.list_volume_types()
    control("DELETE", "requests")
    assert len(list(read_all_pages(cloud.block_storage.volume_pages()))) >= 2
    assert [("marker=" in entry["query"]) for entry in asked(control)] == [False, True]


def serve(monkeypatch, cloud, *pages):
    """Nova's listing is these pages, whatever is asked."""
    left, queries = list(pages), []

    def answer(*_args, params, **_rest):
        queries.append(params.get("marker"))
        found = left.pop(0)
        if isinstance(found, CloudError):
            raise found
        return found

    monkeypatch.setattr(cloud._transport, "request", answer)
    return queries


def test_link_of_an_empty_page_is_followed(cloud, monkeypatch):
    more = [{"rel": "next", "href": "http://elsewhere.invalid/v2.1/servers/detail?limit=2&marker=b"}]
    asked_for = serve(
        monkeypatch,
        cloud,
        {"servers": [], "servers_links": more},
        {"servers": [{"id": "c"}]},
        {"servers": []},
    )
    assert ids(cloud.compute.server_pages(page_size=2)) == ["c"]
    assert asked_for == [None, "b", "c"]


@pytest.mark.parametrize(
    "links", [[{"rel": "next"}], [{"rel": "next", "href": 5}], [{"rel": "next", "href": "http://[/"}]]
)
def test_link_without_an_address_is_no_end(cloud, monkeypatch, links):
    serve(monkeypatch, cloud, {"servers": [], "servers_links": links})
    with pytest.raises(CloudUnavailableError, match="without its address"):
        ids(cloud.compute.server_pages(page_size=2))


def test_invalid_objects_at_the_end_of_a_page_do_not_end_the_listing(cloud, monkeypatch):
    odd = {"name": "odd"}
    asked_for = serve(
        monkeypatch,
        cloud,
        {"servers": [{"id": "a"}, odd, {"id": "../x"}]},
        {"servers": [odd, {"id": "../x"}, {"id": "b"}]},
        {"servers": []},
    )
    pages = list(cloud.compute.server_pages(page_size=3))
    assert ids(pages) == ["a", "b"] and asked_for == [None, "a", "b"]
    assert [one.name for page in pages for one in page.unreadable] == ["odd", ""]
    assert all(isinstance(page, RecordPage) for page in pages)


def test_full_page_of_invalid_objects_is_no_end(cloud, monkeypatch):
    serve(monkeypatch, cloud, {"servers": [7, {"name": "x"}]})
    pages = cloud.compute.server_pages(page_size=2)
    assert len(next(pages).unreadable) == 2
    with pytest.raises(CloudUnavailableError):
        next(pages)


def test_missing_listing_is_not_reported_as_not_found(cloud, control):
    # For a removal, `CloudNotFoundError` means success.
    control("POST", "habits", {"page_limit": 1})
    with pytest.raises(CloudUnavailableError) as caught:
        list(json_pages(cloud._transport, "compute", "/servers/nobody", "servers", doing="list", page_size=1))
    assert caught.value.code == "cloud_unavailable"
