"""The host of a new or migrating server, as Nova's scheduler would choose it."""

from __future__ import annotations

from collections import Counter

from .server import SimulatedServer
from .state import Region


def list_hosts_of_zone(region: Region, zone: str) -> list[str]:
    """Return the hosts of a zone. Hosts are dealt to the zones in turn; where a zone has none, it has all."""
    hosts, zones = sorted(region.hosts), sorted(region.zones)
    if len(zones) < 2 or zone not in zones:
        return hosts
    place = zones.index(zone)
    return [host for number, host in enumerate(hosts) if number % len(zones) == place] or hosts


def select_host(
    region: Region, server: SimulatedServer, *, without: str | None = None, only: str | None = None
) -> str | None:
    """Return a host that is up, accepts servers, and satisfies the server's group; None when there is none."""
    hosts = region.hosts
    found = [
        host
        for host in list_hosts_of_zone(region, server.zone)
        if hosts[host]["up"] and hosts[host]["enabled"] and host != without and only in (None, host)
    ]
    found = _apply_group(region, server, found)
    return found[len(region.servers) % len(found)] if found else None


def _apply_group(region: Region, server: SimulatedServer, hosts: list[str]) -> list[str]:
    group = region.server_groups.get(server.group_id or "")
    if group is None:
        return hosts
    members = [region.servers[one] for one in group["members"] if one in region.servers and one != server.id]
    used = Counter(member.host for member in members if member.host is not None and not member.is_deleted)
    policy = group["policy"]
    if policy == "affinity":
        return [host for host in hosts if host in used] if used else hosts
    if policy == "anti-affinity":
        most = int((group.get("rules") or {}).get("max_server_per_host", 1))
        return [host for host in hosts if used[host] < most]
    # Soft policies choose the best hosts, and refuse none.
    wanted = max if policy == "soft-affinity" else min
    best = wanted((used[host] for host in hosts), default=0)
    return [host for host in hosts if used[host] == best]
