"""The state of the simulated cloud, as plain values that can be written to a file as JSON."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .clock import Clock
from .faults import Faults, RaceBehavior
from .quirks import Quirks
from .server import SimulatedServer

Resource = dict[str, Any]
# Kinds of a region that are dictionaries of JSON objects by id; servers have a class of their own.
KINDS = (
    "flavors", "images", "networks", "subnets", "ports", "routers", "security_groups", "security_group_rules",
    "floatingips", "volumes", "snapshots", "volume_types", "keypairs", "quotas", "server_groups", "migrations", "hosts",
)  # fmt: skip


@dataclass(slots=True)
class Token:
    """A token: its user, its project, its expiry."""

    id: str
    user_id: str
    user_name: str
    project_id: str | None
    project_name: str | None
    roles: list[str]
    issued: float
    expires: float
    method: str = "password"

    @property
    def is_admin(self) -> bool:
        """Return whether the policy shows it everything."""
        return "admin" in self.roles


def build_hosts(names: Iterable[str]) -> dict[str, Resource]:
    """Return hosts of Nova that are up and accept servers."""
    return {name: {"id": name, "up": True, "enabled": True, "disabled_reason": None} for name in names}


class Region:
    """The resources of one region."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.servers: dict[str, SimulatedServer] = {}
        self.flavors: dict[str, Resource] = {}
        self.images: dict[str, Resource] = {}
        self.networks: dict[str, Resource] = {}
        self.subnets: dict[str, Resource] = {}
        self.ports: dict[str, Resource] = {}
        self.routers: dict[str, Resource] = {}
        self.security_groups: dict[str, Resource] = {}
        self.security_group_rules: dict[str, Resource] = {}
        self.floatingips: dict[str, Resource] = {}
        self.server_groups: dict[str, Resource] = {}
        self.migrations: dict[str, Resource] = {}
        # Two, so that servers can migrate; tests set others by the control API.
        self.hosts: dict[str, Resource] = build_hosts(("compute1", "compute2"))
        self.volumes: dict[str, Resource] = {}
        self.snapshots: dict[str, Resource] = {}
        self.volume_types: dict[str, Resource] = {}
        self.keypairs: dict[str, Resource] = {}
        self.quotas: dict[str, Resource] = {}
        # Availability zones by name, and whether each is available.
        self.zones: dict[str, bool] = {"nova": True}
        # Addresses in use by subnet, as numbers, and where to look next. Worked out from the ports, never saved.
        self.used_addresses: dict[str, set[int]] = {}
        self.next_address: dict[str, int] = {}
        # The security group "default" by project; "" for a project that has none. Looked up once, never saved.
        self.default_groups: dict[str, str] = {}
        # Servers newest first, as Nova lists them; None when it has to be sorted anew.
        self._order: list[SimulatedServer] | None = None
        self._positions: dict[str, int] = {}

    def add_server(self, server: SimulatedServer) -> None:
        """Store a new server."""
        self.servers[server.id] = server
        self._order = None

    def invalidate_order(self) -> None:
        """Sort the servers again at the next listing."""
        self._order = None

    def list_newest_first(self) -> tuple[list[SimulatedServer], dict[str, int]]:
        """Return all servers, deleted ones included, newest first, and the position of each id."""
        if self._order is None:
            self._order = sorted(self.servers.values(), key=lambda s: (s.created, s.id), reverse=True)
            self._positions = {server.id: place for place, server in enumerate(self._order)}
        return self._order, self._positions


@dataclass(slots=True)
class State:
    """The whole cloud. Guarded by `lock`: every call that reads or writes it holds it."""

    seed: int = 0
    clock: Clock = field(default_factory=Clock)
    regions: dict[str, Region] = field(default_factory=dict)
    projects: dict[str, Resource] = field(default_factory=dict)
    users: dict[str, Resource] = field(default_factory=dict)
    # (user id, project id) -> role names
    grants: dict[str, list[str]] = field(default_factory=dict)
    application_credentials: dict[str, Resource] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    race_behavior: RaceBehavior = field(default_factory=RaceBehavior)
    quirks: Quirks = field(default_factory=Quirks)
    failing_builds: list[str] = field(default_factory=list)
    # Types of services that the catalog leaves out, by region.
    missing_services: dict[str, list[str]] = field(default_factory=dict)
    # The results of the next resizes: the fault, and the final vm_state, or None for the previous one.
    failing_resizes: list[tuple[str, str | None]] = field(default_factory=list)
    # The reasons of the next live migrations and evacuations that fail.
    failing_migrations: list[str] = field(default_factory=list)
    # Why servers take no password: "not_enabled", "failed" or "unsupported"; "" when they do.
    password_fault: str = ""
    # Cinder's next operations that fail: "create", "extend" or "snapshot", once for each entry.
    failing_volumes: list[str] = field(default_factory=list)
    # Whether Nova soft-deletes servers, and whether their owners may force the deletion.
    soft_delete: bool = False
    force_delete: bool = True
    log: deque[Resource] = field(default_factory=lambda: deque(maxlen=200_000))
    log_number: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Two generators from the same seed, so that random decisions do not change the ids.
    random: Random = field(default_factory=Random)
    chance: Random = field(default_factory=Random)
    dirty: bool = False

    def consume_failure(self, work: str) -> bool:
        """Return whether this operation on a volume has to fail, and use up one requested failure."""
        if work not in self.failing_volumes:
            return False
        self.failing_volumes.remove(work)
        return True

    def new_id(self) -> str:
        """Return a new UUID from the seeded generator: the same seed gives the same ids."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_hex(self) -> str:
        """Return a new id in Keystone's form, without dashes."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4).hex

    def find_project(self, name: str) -> Resource | None:
        """Return a project by name or id."""
        found = self.projects.get(name)
        return found or next((p for p in self.projects.values() if p["name"] == name), None)

    def find_user(self, name: str) -> Resource | None:
        """Return a user by name."""
        return next((u for u in self.users.values() if u["name"] == name), None)

    def list_roles(self, user_id: str, project_id: str) -> list[str]:
        """Return the names of a user's roles in a project."""
        return self.grants.get(f"{user_id} {project_id}", [])

    def get_quota_limit(self, region: Region, project_id: str, name: str) -> int:
        """Return a limit; -1 is unlimited."""
        return int(region.quotas.get(project_id, {}).get(name, -1))
