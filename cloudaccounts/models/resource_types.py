"""Resource types, as rows, so that an account can select among them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ResourceType(models.Model):
    """A resource type of a provider. Migrations write the rows from the registered syncers (`registry.py`)."""

    provider = models.CharField(_("provider"), max_length=50)
    code = models.CharField(_("code"), max_length=30)
    name = models.CharField(_("name"), max_length=100)
    # Types are synced in this order: the targets of links come first.
    order = models.PositiveIntegerField(_("order"), default=0)
    # Unused: grants decide what tenants see of a shared account. The release before reads it, so only the next release may drop it.
    catalogue = models.BooleanField(_("for everybody"), default=False)

    class Meta:
        ordering = ["provider", "order", "code"]
        verbose_name = _("resource type")
        verbose_name_plural = _("resource types")
        constraints = [models.UniqueConstraint(fields=["provider", "code"], name="resource_type_once")]

    def __str__(self) -> str:
        return self.code
