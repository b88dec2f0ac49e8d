"""Security groups of tenants."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant

from .cloud_rows import CloudRow, CloudRowQuerySet

# Neutron makes one group of this name in each project, which can be neither renamed nor removed.
DEFAULT_NAME = "default"


class SecurityGroup(CloudRow):
    """A security group that belongs to a tenant by this row: in a shared account all tenants' groups lie side by side.

    `rules` are those that the cloud last reported, in the form of `security_group` resources: what a rule does not limit is null,
    and a remote group is named by its id in the cloud.
    """

    lock_name: ClassVar[str] = "security-group"

    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        related_name="security_groups",
        verbose_name=_("tenant"),
        db_index=False,  # security_group_by_tenant begins with it.
    )
    name = models.CharField(_("name"), max_length=255)
    description = models.CharField(_("description"), max_length=255, blank=True, default="")
    rules = models.JSONField(_("rules"), default=list, blank=True)

    objects = CloudRowQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("security group")
        verbose_name_plural = _("security groups")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "cloud_id"], name="security_group_once"),
            models.CheckConstraint(condition=~models.Q(cloud_id=""), name="security_group_unbound_is_null"),
        ]
        indexes = [models.Index(fields=["tenant", "name", "id"], name="security_group_by_tenant")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_default(self) -> bool:
        """Return whether this is the project's own group, which Neutron lets nobody rename or remove."""
        return self.name == DEFAULT_NAME
