"""The columns that a tenant's objects in one account and region have in common."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from tenants.scoping import TenantScopedQuerySet

from ..markers import build_marker


class RowStatus(models.TextChoices):
    """The status of a row of this room, apart from the job in flight."""

    CREATING = "creating", _("creating")  # The cloud has not confirmed the object yet.
    ACTIVE = "active", _("active")
    GONE = "gone", _("gone")  # A sync has found that the cloud no longer has it.


class CloudRowQuerySet(TenantScopedQuerySet):
    """Rows of objects in clouds. Every write moves `written_at`, so that no older listing overwrites it."""

    def update(self, **columns: Any) -> int:
        """Write columns, and the time of the write."""
        return super().update(**{"written_at": Now(), "updated_at": Now(), **columns})

    def usable(self) -> CloudRowQuerySet:
        """Return the rows whose object exists in the cloud, as far as is known."""
        return self.filter(status=RowStatus.ACTIVE, cloud_id__isnull=False)


class CloudRow(models.Model):
    """A row that belongs to a tenant and stands for an object in a cloud, by `cloud_id`; null until the cloud has created it.

    The row is written before the request is sent, so no object that the portal creates is without a row.
    """

    # The first part of the key of the engine's lock, and of the marker that the object carries in the cloud.
    lock_name: ClassVar[str]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Not protected: rows of an own account come from its syncs, and some of its objects, such as the group "default", cannot
    # be deleted. Whoever deletes an account forgets them, and the cloud keeps them.
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="+", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    cloud_id = models.CharField(_("id in the cloud"), max_length=64, null=True, blank=True)
    status = models.CharField(
        _("status"), max_length=20, choices=RowStatus.choices, default=RowStatus.CREATING
    )
    # When a column that follows the cloud was last written: an older listing does not change it.
    written_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        abstract = True

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this row."""
        return f"{self.lock_name}:{self.pk}"

    @property
    def marker(self) -> str:
        """Return the marker by which the object is found in the cloud, even when the answer to its creation was lost."""
        return build_marker(self.lock_name, self.pk)
