"""What the room of deployments, which is above this one, adds to new VMs: the tenant's deploy key, and a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from tenants.models import Tenant
from tenants.scoping import Scope


@dataclass(frozen=True, slots=True)
class HostHooks:
    """The functions of the room above. None of them calls a cloud.

    `find_deploy_key` returns the public half of a tenant's deploy key, or "". `require_access` raises 403 when the caller may
    not make a VM a host. `register_host` makes a VM a host, in the transaction that ends its creation, and returns the
    message of why it is none, or "".
    """

    find_deploy_key: Callable[[Tenant], str]
    require_access: Callable[[Scope], None]
    register_host: Callable[[UUID], str]


_registered: list[HostHooks] = []


def register_host_hooks(hooks: HostHooks) -> None:
    """Register the functions of the room above, in place of earlier ones."""
    _registered[:] = [hooks]


def get_host_hooks() -> HostHooks | None:
    """Return the registered functions; None in an installation without deployments."""
    return _registered[0] if _registered else None
