"""The service of the benchmark `deploy`: its first version runs on a number of hosts, and there are newer versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploys.models import MicroService


def create_service(slug: str, *, labels: Sequence[str], hosts: int, program: str) -> MicroService:
    """Create the service for a tenant of its own. It is deployed by the program of this name."""
    from deploys.models import Host, MicroService, MicroServiceInstance, MicroServiceVersion
    from tenants.models import InformationSystem, Tenant

    tenant = Tenant.objects.create(name=slug.capitalize(), slug=slug)
    service = MicroService.objects.create(
        information_system=InformationSystem.objects.create(tenant=tenant, name="Shop"),
        name="shop",
        folder="/srv/shop",
        port=8080,
        executor="command",
        executor_settings={"program": program},
    )
    built = MicroServiceVersion.objects.bulk_create(
        MicroServiceVersion(
            service=service,
            label=label,
            number=number,
            build_status="success",
            artifact_url="https://store.example.org/shop.tar.gz",
            sha256="0" * 64,
        )
        for number, label in enumerate(labels, 1)
    )
    created_hosts = Host.objects.bulk_create(
        Host(tenant=tenant, hostname=f"web-{n}", ip=f"10.0.{n // 250}.{n % 250 + 1}") for n in range(hosts)
    )
    MicroServiceInstance.objects.bulk_create(
        MicroServiceInstance(service=service, version=built[0], host=host, port=8080, status="running")
        for host in created_hosts
    )
    return service
