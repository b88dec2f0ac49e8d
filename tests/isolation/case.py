"""What is known of one operation of the API, so that the matrix can try it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenants.models import Membership
from tenants.scoping import Role

Ids = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One operation: what it takes, and what it answers to whom.

    `ids` makes the objects that the path names, in a tenant; empty for lists.
    `needs` is the lowest role that may; None when every signed-in user may.
    """

    ok: int
    needs: Role | None = Role.VIEWER
    ids: Callable[[Membership], Ids] | None = None
    body: Callable[[Membership], dict[str, Any]] | None = None
    bad_body: dict[str, Any] | None = None
    public: bool = False
    # Only for the portal's staff. `tenants_own`: what the path names belongs to a tenant.
    staff: bool = False
    tenants_own: bool = True
