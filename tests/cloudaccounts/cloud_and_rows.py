"""What the simulated cloud has of each type, what the rows say of it, and what must hold of rows at any moment.

The cloud's side is read out of the simulator's memory, so that no listing of ours has a part in it.
"""

from __future__ import annotations

from collections import Counter

from django.core.cache import cache
from django.db.models import F

from cloudaccounts import connect
from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog, SyncLogLine
from simulator import neutron, nova, nova_keypairs, pagination

REGION = "RegionOne"
# What the simulator calls the project of an object, of whatever kind.
OWNERS = (
    "project_id",
    "owner",
    "os-vol-tenant-attr:tenant_id",
    "os-extended-snapshot-attributes:project_id",
)
KEPT_AS = {
    **{code: f"{code}s" for code in ("flavor", "image", "network", "subnet", "router", "port")},
    **{code: f"{code}s" for code in ("security_group", "volume", "snapshot", "volume_type", "server")},
    "floating_ip": "floatingips",
    "zone": "zones",
    "keypair": "keypairs",
}


def small_pages(patch, size):
    """The cloud caps its pages, as clouds do: it gives less than it was asked for, and says that there is more."""
    patch.setattr(pagination, "_MAX_PAGE", size)
    patch.setattr(pagination, "_GLANCE_PAGE", size)
    patch.setattr(nova, "_MAX_PAGE", size)
    patch.setattr(nova_keypairs, "_MAX_KEYPAIRS", size)
    asked = neutron._limit
    patch.setattr(neutron, "_limit", lambda said: min(asked(said) or size, size))


def log_out():
    """Close what is open and forget tokens: the next sync logs in and asks each service for its versions."""
    for opened in connect._open_clouds.values():
        opened.cloud.close()
    connect._open_clouds.clear()
    cache.clear()


def stored(simulator, type_code):
    """The objects of a type, of whatever project, in the simulator's memory."""
    return getattr(simulator.state.regions[REGION], KEPT_AS[type_code])


def keys_of(simulator, type_code):
    """Where the simulator keeps what the project of the account sees of a type."""
    things, project = stored(simulator, type_code), simulator.state.find_project("demo")["id"]
    if type_code == "server":
        return [key for key, server in things.items() if not server.is_deleted]
    return [
        key for key, thing in things.items() if type_code in {"zone", "keypair"} or _is_shown(thing, project)
    ]


def there(simulator, type_code):
    """What the project of the account sees of a type: names by ids."""
    things = stored(simulator, type_code)
    keys = keys_of(simulator, type_code)
    if type_code == "zone":
        return dict(zip(keys, keys, strict=True))
    if type_code == "keypair":
        return {things[key]["name"]: things[key]["name"] for key in keys}
    if type_code == "server":
        return {key: things[key].name for key in keys}
    named = "floating_ip_address" if type_code == "floating_ip" else "name"
    return {key: things[key][named] for key in keys}


def _is_shown(thing, project):
    owner = next((thing[name] for name in OWNERS if name in thing), project)
    return owner == project or thing.get("shared") or thing.get("visibility") == "public" or _outside(thing)


def _outside(thing):
    return bool(thing.get("router:external"))


def rows(**which):
    """The rows that are there: names by ids in the cloud."""
    found = CloudResource.objects.present().filter(**which)
    return dict(found.order_by("cloud_id").values_list("cloud_id", "name"))


def picture(**which):
    """All that the portal keeps of resources, to be compared with a later one: rows, changes and links."""
    columns = [field.attname for field in CloudResource._meta.concrete_fields]
    kept = CloudResource.objects.filter(**which)
    return (
        list(kept.order_by("pk").values_list(*columns)),
        list(ResourceChange.objects.filter(resource__in=kept).order_by("pk").values()),
        list(ResourceLink.objects.filter(source__in=kept).order_by("pk").values()),
    )


def links_of(resource):
    """The links of a row, as its changes call them."""
    return sorted(
        f"{kind} {cloud_id}" for kind, cloud_id in resource.links.values_list("kind", "target_cloud_id")
    )


def values_of(resource):
    """What can change about a row, as its changes call it."""
    return {
        "name": resource.name,
        "status": resource.status,
        "addresses": resource.addresses,
        "expired": resource.expired_at is not None,
        "links": links_of(resource),
        **{f"attributes.{key}": value for key, value in resource.attributes.items()},
    }


def first_values(resource):
    """What a row was in the beginning: its changes told backwards. Fails when one of them is not true."""
    now = values_of(resource)
    told = ResourceChange.objects.filter(resource=resource).order_by("-id")
    for fields in told.values_list("fields", flat=True):
        assert fields, "a change of nothing"
        for name, (was, is_now) in fields.items():
            assert was != is_now, (name, was)
            assert now.get(name) == is_now, f"{name} of {resource} is {now.get(name)!r}, told as {is_now!r}"
            now[name] = was
    return {name: value for name, value in now.items() if value is not None}


def check_rows():
    """What must hold of all rows, at any moment."""
    for resource in CloudResource.objects.all():
        assert first_values(resource)["expired"] is False
    told = ResourceChange.objects.exclude(log=None).values_list("resource_id", "log_id")
    assert all(count == 1 for count in Counter(told).values()), "a sync told one change twice"
    assert not CloudResource.objects.filter(last_seen_at__lt=F("first_seen_at")).exists()
    keys = CloudResource.objects.values_list("account_id", "region", "type", "cloud_id")
    assert all(count == 1 for count in Counter(keys).values()), "a row twice"
    edges = ResourceLink.objects.values_list("source_id", "kind", "target_cloud_id")
    assert all(count == 1 for count in Counter(edges).values()), "a link twice"


def check_logs():
    """No log is left running, and each that has ended says when, and why if it failed."""
    assert not SyncLog.objects.running().exists()
    for log in SyncLog.objects.all():
        assert log.ended_at is not None and (log.owner, log.lease_until) == ("", None)
        assert bool(log.message) == (log.state == "failed"), (log.state, log.message)


def words_of(log):
    """All that people can read of a log."""
    lines = SyncLogLine.objects.filter(log=log).values_list("text", flat=True)
    return "\n".join([log.message, *log.regions.values(), *lines])
