"""The command that reads the compute hosts of a cloud, for staff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import Cloud, CloudForbiddenError
from tasks.clock import database_now
from tasks.command import Done, Entity, Failed, Result, Wait, minutes, register, step

from ..connect import open_cloud
from ..models import CloudAccount, ComputeHost
from ..registry import get_provider
from .cloud import CloudCommand, describe_refusal

COMPUTE_SERVICE = "nova-compute"
MAX_HOSTS = 5000
MAX_AGGREGATES = 50


@register
@dataclass
class ReadHostsCommand(CloudCommand):
    """Read hypervisors, compute services and host aggregates of every region of an account, and replace its rows.

    Nothing is changed in the cloud. The job belongs to no tenant, so that only staff see it.
    """

    account_id: int

    kind: ClassVar[str] = "cloudaccounts.read_hosts"
    title: ClassVar[str | Promise] = gettext_lazy("Read compute hosts of cloud account")

    def locks(self) -> list[str]:
        """Lock the reading of the account's hosts, and nothing else of it."""
        return [f"cloud-account-hosts:{self.account_id}"]

    def entity(self) -> Entity:
        """Return the account."""
        name = CloudAccount.objects.values_list("name", flat=True).filter(pk=self.account_id).first()
        return Entity("cloud_account", str(self.account_id), name or "")

    @step(deadline=minutes(10), title=gettext_lazy("Read compute hosts"))
    def read_hosts(self) -> Result:
        """Read the hosts of every region."""
        account = CloudAccount.objects.filter(pk=self.account_id).first()
        if account is None:
            return Failed("gone", _("The account was deleted."))
        hosts: list[dict[str, Any]] = []
        for region in get_provider(account).list_regions(account):
            hosts += read_region_hosts(open_cloud(account, region), region)
            if len(hosts) > MAX_HOSTS:
                message = _(
                    "The cloud has more than %(most)s compute hosts, which is more than the portal keeps."
                )
                return Failed("too_many_hosts", message % {"most": MAX_HOSTS})
        self.data["hosts"], self.data["read_at"] = hosts, database_now().isoformat()
        return Done()

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say in words that only administrators of a cloud may see hosts."""
        if isinstance(error, CloudForbiddenError):
            message = _(
                "The user of the cloud account may not list compute hosts. Use an account of a cloud administrator. %(reason)s"
            )
            return Failed("needs_cloud_administrator", message % {"reason": describe_refusal(error)})
        return super().translate(error)

    def on_success(self) -> None:
        """Replace the account's rows."""
        account = CloudAccount.objects.select_for_update(no_key=True).filter(pk=self.account_id).first()
        if account is None:
            return
        ComputeHost.objects.filter(account=account).delete()
        ComputeHost.objects.bulk_create(
            [
                ComputeHost(account=account, read_at=self.data["read_at"], **host)
                for host in self.data["hosts"]
            ],
            batch_size=1000,
        )
        del self.data["hosts"]  # The rows have them.


def read_region_hosts(cloud: Cloud, region: str) -> list[dict[str, Any]]:
    """Return the columns of a region's hosts. Raises `CloudError`."""
    services = {
        one.host: one for one in cloud.compute.list_compute_services() if one.binary == COMPUTE_SERVICE
    }
    aggregates: dict[str, list[str]] = {}
    for aggregate in cloud.compute.list_host_aggregates():
        for host in aggregate.hosts:
            aggregates.setdefault(host, []).append(aggregate.name[:255])
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in cloud.compute.list_hypervisors():
        service = services.get(one.host)
        name = (one.host or one.name)[:255]
        found[name, one.name[:255]] = {
            "region": region[:100],
            "name": name,
            "hypervisor": one.name[:255],
            "type": one.type[:100],
            "zone": (service.zone if service else "")[:255],
            "is_up": one.is_up,
            "is_enabled": one.is_enabled,
            "disabled_reason": (one.disabled_reason or "")[:500],
            "server_count": one.server_count,
            "vcpus": one.vcpus,
            "vcpus_used": one.vcpus_used,
            "memory_mb": one.memory_mb,
            "memory_mb_used": one.memory_mb_used,
            "aggregates": sorted(aggregates.get(one.host, []))[:MAX_AGGREGATES],
        }
    return list(found.values())
