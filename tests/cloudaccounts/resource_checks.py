"""Contents of the simulated cloud, contents of the resource rows, and invariants of the rows.

The cloud's contents are read from the simulator's memory, so that they do not depend on the client's listings.
"""

from __future__ import annotations

from collections import Counter

from django.core.cache import cache
from django.db.models import F

from cloudaccounts import connect
from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog, SyncLogLine
from simulator import neutron, nova, nova_keypairs, pagination

REGION = "RegionOne"
# The fields that hold the project of an object, by kind.
OWNERS = (
    "project_id",
    "owner",
    "os-vol-tenant-attr:tenant_id",
    "os-extended-snapshot-attributes:project_id",
)
COLLECTION_BY_TYPE = {
    **{code: f"{code}s" for code in ("flavor", "image", "network", "subnet", "router", "port")},
    **{code: f"{code}s" for code in ("security_group", "volume", "snapshot", "volume_type", "server")},
    "floating_ip": "floatingips",
    "zone": "zones",
    "keypair": "keypairs",
    "server_group": "server_groups",
}


def limit_page_sizes(patch, size):
    """Cap the pages of listings, as clouds do: they are shorter than requested, and link to the next page."""
    patch.setattr(pagination, "_MAX_PAGE", size)
    patch.setattr(pagination, "_GLANCE_PAGE", size)
    patch.setattr(nova, "_MAX_PAGE", size)
    patch.setattr(nova_keypairs, "_MAX_KEYPAIRS", size)
    parse_limit = neutron._parse_limit
    patch.setattr(neutron, "_parse_limit", lambda text: min(parse_limit(text) or size, size))


def close_clouds():
    """Close open clouds and delete cached tokens: the next sync logs in, and requests the services' versions."""
    for opened in connect._open_clouds.values():
        opened.cloud.close()
    connect._open_clouds.clear()
    cache.clear()


def get_stored_objects(simulator, type_code):
    """Return the objects of a type, of all projects, from the simulator's memory."""
    return getattr(simulator.state.regions[REGION], COLLECTION_BY_TYPE[type_code])


def list_visible_keys(simulator, type_code):
    """Return the simulator's keys of the objects of a type that the account's project sees."""
    objects, project = get_stored_objects(simulator, type_code), simulator.state.find_project("demo")["id"]
    if type_code == "server":
        return [key for key, server in objects.items() if not server.is_deleted]
    return [
        key
        for key, stored in objects.items()
        if type_code in {"zone", "keypair"} or _is_visible(stored, project)
    ]


def list_cloud_names(simulator, type_code):
    """Return the names by id of the objects of a type that the account's project sees."""
    objects = get_stored_objects(simulator, type_code)
    keys = list_visible_keys(simulator, type_code)
    if type_code == "zone":
        return dict(zip(keys, keys, strict=True))
    if type_code == "keypair":
        return {objects[key]["name"]: objects[key]["name"] for key in keys}
    if type_code == "server":
        return {key: objects[key].name for key in keys}
    named = "floating_ip_address" if type_code == "floating_ip" else "name"
    return {key: objects[key][named] for key in keys}


def _is_visible(stored, project):
    owner = next((stored[name] for name in OWNERS if name in stored), project)
    return (
        owner == project
        or stored.get("shared")
        or stored.get("visibility") == "public"
        or _is_external(stored)
    )


def _is_external(stored):
    return bool(stored.get("router:external"))


def list_row_names(**which):
    """Return the names by id in the cloud of the rows that have not expired."""
    found = CloudResource.objects.present().filter(**which)
    return dict(found.order_by("cloud_id").values_list("cloud_id", "name"))


def read_all_rows(**which):
    """Return all rows, changes and links of resources, to compare them with later ones."""
    columns = [field.attname for field in CloudResource._meta.concrete_fields]
    resources = CloudResource.objects.filter(**which)
    return (
        list(resources.order_by("pk").values_list(*columns)),
        list(ResourceChange.objects.filter(resource__in=resources).order_by("pk").values()),
        list(ResourceLink.objects.filter(source__in=resources).order_by("pk").values()),
    )


def list_links(resource):
    """Return the links of a row, in the form of its changes."""
    return sorted(
        f"{kind} {cloud_id}" for kind, cloud_id in resource.links.values_list("kind", "target_cloud_id")
    )


def read_values(resource):
    """Return the values of a row that can change, by the names in its changes."""
    return {
        "name": resource.name,
        "status": resource.status,
        "addresses": resource.addresses,
        "expired": resource.expired_at is not None,
        "links": list_links(resource),
        **{f"attributes.{key}": value for key, value in resource.attributes.items()},
    }


def compute_first_values(resource):
    """Return the first values of a row by reverting its changes. Fails when a change does not fit."""
    now = read_values(resource)
    changes = ResourceChange.objects.filter(resource=resource).order_by("-id")
    for fields in changes.values_list("fields", flat=True):
        assert fields, "a change of nothing"
        for name, (was, is_now) in fields.items():
            assert was != is_now, (name, was)
            assert now.get(name) == is_now, (
                f"{name} of {resource} is {now.get(name)!r}, changes as {is_now!r}"
            )
            now[name] = was
    return {name: value for name, value in now.items() if value is not None}


def check_rows():
    """Check the invariants of all rows, which hold at any time."""
    for resource in CloudResource.objects.all():
        assert compute_first_values(resource)["expired"] is False
    changes = ResourceChange.objects.exclude(log=None).values_list("resource_id", "log_id")
    assert all(count == 1 for count in Counter(changes).values()), "a sync changes one change twice"
    assert not CloudResource.objects.filter(last_seen_at__lt=F("first_seen_at")).exists()
    keys = CloudResource.objects.values_list("account_id", "region", "type", "cloud_id")
    assert all(count == 1 for count in Counter(keys).values()), "a row twice"
    edges = ResourceLink.objects.values_list("source_id", "kind", "target_cloud_id")
    assert all(count == 1 for count in Counter(edges).values()), "a link twice"


def check_logs():
    """Check that no log is running, and that each has an end, and a message if it failed."""
    assert not SyncLog.objects.running().exists()
    for log in SyncLog.objects.all():
        assert log.ended_at is not None and (log.owner, log.lease_until) == ("", None)
        assert bool(log.message) == (log.state == "failed"), (log.state, log.message)


def read_log_texts(log):
    """Return all texts of a log that people can read."""
    lines = SyncLogLine.objects.filter(log=log).values_list("text", flat=True)
    return "\n".join([log.message, *log.regions.values(), *lines])


def save_columns(account, columns):
    """Set columns of an account and save it, without the services."""
    for name, value in columns.items():
        setattr(account, name, value)
    account.save()
