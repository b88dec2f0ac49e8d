"""Take floating IPs from external networks, and give them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import CloudAddressesExhaustedError, CloudNotFoundError, CloudQuotaExceededError
from tasks.command import Done, Failed, Failure, Result, Wait, register, step

from ..cloud_columns import floating_ip_columns
from ..models import FloatingIp, RowStatus
from .resources import convert_record, expire_resource, record_resources
from .rows import RowCommand


def build_floating_ip_columns(place: tuple[int, str], found: dict[str, Any]) -> dict[str, Any]:
    """Record a floating IP that a job has read as a resource; return the columns of its row."""
    (listed,) = record_resources(place, "floating_ip", [found])
    columns = floating_ip_columns(
        listed.name, listed.attributes, [(link.type, link.cloud_id) for link in listed.links]
    )
    is_attached = bool(columns["port_id"])
    columns["unattached_since"] = None if is_attached else Coalesce(F("unattached_since"), Now())
    return {"cloud_id": listed.cloud_id, "status": RowStatus.ACTIVE, **columns}


class FloatingIpCommand(RowCommand):
    """A command on a floating IP."""

    model: ClassVar[type[Any]] = FloatingIp
    entity_type: ClassVar[str] = "floating_ip"

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say what to do about a full network and a used quota."""
        if isinstance(error, CloudAddressesExhaustedError):
            message = _("External network '%(network)s' has no free address. Take one from another network.")
            return Failed(error.code, message % {"network": self.row.network_name or self.row.network_id})
        if isinstance(error, CloudQuotaExceededError):
            message = _(
                "The cloud account's quota of floating IPs is used up. Give one back that is not attached. (%(reason)s)"
            )
            return Failed(error.code, message % {"reason": error})
        return super().translate(error)


@register
@dataclass
class TakeFloatingIpCommand(FloatingIpCommand):
    """Take the floating IP of a row from its external network. It carries the row's marker; a failure leaves none behind."""

    row_id: str

    kind: ClassVar[str] = "networks.take_floating_ip"
    title: ClassVar[str | Promise] = gettext_lazy("Take floating IP")

    def new_row_params(self) -> frozenset[str]:
        """Return the row."""
        return frozenset({"row_id"})

    @step(title=gettext_lazy("Send create request to cloud"))
    def request_address(self) -> Result:
        """Take the address, unless an earlier attempt has."""
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := self.network.find_floating_ips_by_marker(self.row.marker)):
            self.data["found"] = convert_record("floating_ip", found[0])
            return Done(_("Already taken by an earlier attempt."))
        taken = self.network.create_floating_ip(
            self.row.network_id, description=self.row.description, marker=self.row.marker
        )
        self.data["found"] = convert_record("floating_ip", taken)
        self.record_request_id()
        return Done()

    @request_address.undo
    def delete_created(self) -> Result:
        """Give back every address that was taken."""
        for taken in self.network.find_floating_ips_by_marker(self.row.marker):
            self.network.delete_floating_ip(taken.id)
        return Done()

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Give back the addresses of earlier requests whose answers were lost."""
        if self.data["asked_again"]:
            for taken in self.network.find_floating_ips_by_marker(self.row.marker):
                if taken.id != self.data["found"]["cloud_id"]:
                    self.network.delete_floating_ip(taken.id)
        return Done()

    def on_success(self) -> None:
        """Bind the row to the address."""
        columns = build_floating_ip_columns(self.place, self.data["found"])
        FloatingIp.objects.filter(pk=self.row_id).update(**columns, taken_at=Now())

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, because no address is taken."""
        if found := self.data.get("found"):
            expire_resource(self.place, "floating_ip", found["cloud_id"])
        FloatingIp.objects.filter(pk=self.row_id).delete()


@register
@dataclass
class ReleaseFloatingIpCommand(FloatingIpCommand):
    """Give a floating IP back. One that is gone already counts as given back."""

    row_id: str

    kind: ClassVar[str] = "networks.release_floating_ip"
    title: ClassVar[str | Promise] = gettext_lazy("Give back floating IP")

    @step(title=gettext_lazy("Send delete request to cloud"))
    def request_delete(self) -> Result:
        """Delete the address, unless it was attached in the cloud since the last sync."""
        if self.row.cloud_id is None:
            return Done()
        try:
            port_id = self.network.get_floating_ip(self.cloud_id).port_id
        except CloudNotFoundError:
            return Done()
        if port_id:
            message = _(
                "The floating IP was attached in the cloud meanwhile, to port %(port)s. Detach it first."
            )
            return Failed("floating_ip_attached", message % {"port": port_id})
        self.network.delete_floating_ip(self.cloud_id)
        return Done()

    def on_success(self) -> None:
        """Delete the row, and let the resource expire."""
        expire_resource(self.place, "floating_ip", self.row.cloud_id)
        FloatingIp.objects.filter(pk=self.row_id).delete()
