"""The projects of an account: Huawei Cloud has one for each region, and accounts may add some below it.

A project's name is that of its region, `cn-north-4`, or begins with it, `cn-north-4_shop`. The portal takes each for a region.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Project:
    """A project in which the credentials may work."""

    id: str
    name: str
    # The account that it belongs to.
    account_id: str = ""

    @property
    def region(self) -> str:
        """Return the region that the project is in."""
        return self.name.partition("_")[0]


def read_projects(answer: Mapping[str, Any]) -> list[Project] | None:
    """Return the projects of an answer of IAM that are enabled, by name; None for an answer without projects."""
    found = answer.get("projects")
    if not isinstance(found, list):
        return None
    projects = [
        Project(one["id"], one["name"], str(one.get("domain_id") or ""))
        for one in found
        if isinstance(one, dict)
        and isinstance(one.get("id"), str)
        and isinstance(one.get("name"), str)
        and 0 < len(one["name"]) <= MAX_NAME_LENGTH
        and one.get("enabled") is not False
    ]
    return sorted(projects, key=lambda project: project.name)


def read_regions(answer: Mapping[str, Any]) -> set[str] | None:
    """Return the ids of the regions of an answer of IAM; None for an answer without regions."""
    found = answer.get("regions")
    if not isinstance(found, list):
        return None
    return {one["id"] for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)}
