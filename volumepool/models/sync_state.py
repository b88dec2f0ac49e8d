"""The freshness of the volumes of each account and region."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from cloudaccounts.models import CloudAccount


class VolumeSyncState(models.Model):
    """The last sync of the volumes and snapshots of one account and region, with its result.

    One row stands for all volumes that did not change: a sync that finds nothing changed writes this row alone.
    """

    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="volume_sync_states", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    # When the last complete listing of Cinder began, and the last one of Nova that attachments were compared with.
    listed_at = models.DateTimeField(_("listed"), null=True, blank=True)
    compared_at = models.DateTimeField(_("compared"), null=True, blank=True)
    # When a sync was last requested; the next run also compares attachments with Nova.
    wanted_at = models.DateTimeField(null=True, blank=True)
    # Staff have confirmed a mass loss: the next run marks the missing volumes.
    losses_accepted = models.BooleanField(_("losses accepted"), default=False, db_default=False)
    # The counts of the last run, and the reason why it failed; "" when it did not.
    figures = models.JSONField(_("figures"), default=dict, blank=True)
    message = MessageField(_("message"), blank=True, default="")
    # The lease of the present run (tasks/leases.py): one run at a time.
    owner = models.CharField(max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["account", "region"]
        constraints = [models.UniqueConstraint(fields=["account", "region"], name="volume_sync_state_once")]
        verbose_name = _("sync state of volumes")
        verbose_name_plural = _("sync states of volumes")

    def __str__(self) -> str:
        return f"{self.account} {self.region}"
