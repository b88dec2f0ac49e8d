"""What the simulated Huawei Cloud has: access keys, projects of regions, and their objects by kind; and how it may refuse."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..http_messages import Response

# Objects by kind and id.
Objects = dict[str, dict[str, dict[str, Any]]]


@dataclass(slots=True)
class AccessKey:
    """An access key; with a token, a temporary one."""

    secret: str
    token: str = ""
    is_enabled: bool = True


@dataclass(slots=True)
class SimulatedProject:
    """A project: that of a region, or one below it."""

    name: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    objects: Objects = field(default_factory=dict)
    is_enabled: bool = True


def _pass_on(_action: str, _number: int) -> Response | None:
    return None


@dataclass(slots=True)
class HuaweiCloud:
    """The account, and everything in it. Tests fill and change it directly."""

    account_id: str = "d78cbac186b744899480f25bd022f468"
    account_name: str = "hw-shop"
    regions: list[str] = field(default_factory=lambda: ["ap-southeast-1", "cn-north-4", "eu-west-101"])
    projects: dict[str, SimulatedProject] = field(default_factory=dict)
    keys: dict[str, AccessKey] = field(default_factory=dict)
    # Agencies that may be taken: (name, account).
    agencies: set[tuple[str, str]] = field(default_factory=set)
    # Permissions that the credentials lack.
    denied: set[str] = field(default_factory=set)
    # Projects that the credentials may not use, though IAM lists them.
    closed: set[str] = field(default_factory=set)
    # Ends of the paid times of resources by their ids; None for credentials that may not see orders.
    paid_until: dict[str, str] | None = field(default_factory=dict)
    # Whether IAM tells these credentials who they are.
    tells_account: bool = True
    is_frozen: bool = False
    # The next requests that are throttled.
    throttled: int = 0
    # Seconds by which the cloud's clock is ahead.
    clock_offset: float = 0.0
    # The most objects of a page, however many are requested; None for the documented one.
    page_size: int | None = None
    # Called with the permission and the number of its request; an answer is sent instead of the cloud's own.
    answer: Callable[[str, int], Response | None] = _pass_on
    # The permissions that requests needed, in their order.
    requested: list[str] = field(default_factory=list)

    def add_project(self, name: str) -> SimulatedProject:
        """Add a project, which is enabled."""
        project = self.projects[name] = SimulatedProject(name)
        return project

    def find_project(self, project_id: str) -> SimulatedProject | None:
        """Return the project with an id; None without one."""
        return next((project for project in self.projects.values() if project.id == project_id), None)

    def add(self, project: str, kind: str, found: dict[str, Any]) -> str:
        """Add an object of a kind to a project, and return its id."""
        cloud_id = str(found.get("id") or found.get("instance_id") or found.get("name") or found["zoneName"])
        self.projects[project].objects.setdefault(kind, {})[cloud_id] = found
        return cloud_id

    def remove(self, project: str, kind: str, cloud_id: str) -> None:
        """Remove an object of a project."""
        del self.projects[project].objects[kind][cloud_id]

    def list_ids(self, project: str, kind: str) -> list[str]:
        """List the ids of the objects of a kind in a project."""
        return sorted(self.projects[project].objects.get(kind, {}))
