"""The description of an operation of the API, by which the matrix tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenants.models import Membership
from tenants.scoping import Role

Ids = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An operation of the API: its success status, the role that it requires, its objects and its bodies.

    `ids` creates the objects that the path names, in the tenant of a member; None for lists.
    `required_role` is the lowest role that may use it; None when every signed-in user may.
    """

    success_status: int
    required_role: Role | None = Role.VIEWER
    ids: Callable[[Membership], Ids] | None = None
    body: Callable[[Membership], dict[str, Any]] | None = None
    bad_body: dict[str, Any] | None = None
    public: bool = False
    # Whether it is for staff alone, and whether the object of the path belongs to a tenant.
    staff: bool = False
    belongs_to_tenant: bool = True
