"""The freshness of the status of an account's VMs, and the runs of the status sync."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from api.message_fields import MessageField
from cloudaccounts.models import AccountScopedQuerySet, CloudAccount


class SyncState(models.Model):
    """The freshness of one account and region. One row stands for all VMs that did not change.

    So a sync that finds nothing changed writes this row and nothing else.
    """

    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="vm_sync_states")
    region = models.CharField(max_length=100, blank=True, default="")
    # When the last complete listing began: the rows agree with what it showed.
    listed_at = models.DateTimeField(null=True, blank=True)
    # When the last listing of all servers began; runs in between list what has changed.
    full_listed_at = models.DateTimeField(null=True, blank=True)
    # Where the next listing of changes has to begin: earlier than `listed_at` when a run skipped rows.
    changes_from = models.DateTimeField(null=True, blank=True)
    # When a full run was last requested; the next run is full when this is later than `full_listed_at`.
    full_wanted_at = models.DateTimeField(null=True, blank=True)
    # Staff have confirmed a mass loss: the next full run marks the missing VMs.
    losses_accepted = models.BooleanField(_("losses accepted"), default=False, db_default=False)
    # The lease of the present run (tasks/leases.py): one run at a time.
    owner = models.CharField(max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "region"], name="vm_sync_state_once")]
        verbose_name = _("sync state")
        verbose_name_plural = _("sync states")

    def __str__(self) -> str:
        return f"{self.account} {self.region}"


class SyncRun(models.Model):
    """One status sync of one account and region, with its result."""

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        SUCCESS = "success", _("success")
        FAILED = "failed", _("failed")

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="vm_sync_runs", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    # True when all servers were listed, False when only those that had changed since the last run.
    full = models.BooleanField(_("full"), default=True, db_default=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RUNNING)
    synced = models.PositiveIntegerField(_("synced"), default=0)
    updated = models.PositiveIntegerField(pgettext_lazy("how many", "updated"), default=0)
    skipped = models.PositiveIntegerField(pgettext_lazy("how many", "skipped"), default=0)
    errors = models.PositiveIntegerField(_("errors"), default=0)
    missing = models.PositiveIntegerField(_("missing"), default=0)
    unknown_words = models.JSONField(_("unknown status words"), default=dict)
    message = MessageField(_("message"), blank=True, default="")
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = AccountScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("status sync run")
        verbose_name_plural = _("status sync runs")
        indexes = [models.Index(fields=["account", "-id"], name="sync_run_by_account")]

    def __str__(self) -> str:
        return f"{self.account} {self.region} {self.started_at:%Y-%m-%d %H:%M:%S}"
