"""Kinds of resources, as rows, so that an account can choose among them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ResourceType(models.Model):
    """A kind of resource of a provider. Written at deploy from the syncers that are registered (`sync/registry.py`)."""

    provider = models.CharField(_("provider"), max_length=50)
    code = models.CharField(_("code"), max_length=30)
    name = models.CharField(_("name"), max_length=100)
    # Types are synced in this order: what others refer to comes first.
    order = models.PositiveIntegerField(_("order"), default=0)
    # Whether every tenant may see what there is of it in an account that is shared: what VMs are made from, not
    # what others have made of it.
    catalogue = models.BooleanField(_("for everybody"), default=False)

    class Meta:
        ordering = ["provider", "order", "code"]
        verbose_name = _("resource type")
        verbose_name_plural = _("resource types")
        constraints = [models.UniqueConstraint(fields=["provider", "code"], name="resource_type_once")]

    def __str__(self) -> str:
        return self.code
