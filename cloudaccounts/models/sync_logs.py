"""Logs of resource syncs: one a run, with lines that can be read while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self
from uuid import UUID

from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from api.message_fields import MessageField, MessageMapField
from api.messages import to_message
from tenants.models import User
from tenants.scoping import TenantScopedQuerySet

from ..queries import OPEN_SYNC_LOGS
from .accounts import CloudAccount


class SyncLogQuerySet(TenantScopedQuerySet):
    """Sync logs. A tenant sees those of its own accounts; the logs of shared accounts are for staff."""

    tenant_path: ClassVar[str] = "account__tenant"

    def running(self) -> Self:
        """Return the logs that are running, or waiting for a worker."""
        return self.filter(state=SyncLog.State.RUNNING)

    def open(
        self,
        account_id: int,
        type_codes: Iterable[str],
        *,
        asked_by_id: UUID | None = None,
        losses_accepted: bool = False,
    ) -> list[int]:
        """Open a log for each type that has none running; return the ids of the new ones. One statement.

        Safe for two requests at once: a unique index allows one running log of an account and type, so the second request
        opens none.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                OPEN_SYNC_LOGS,
                {
                    "account": account_id,
                    "user": asked_by_id,
                    "accepted": losses_accepted,
                    "types": list(type_codes),
                },
            )
            return [log_id for (log_id,) in cursor.fetchall()]

    def close(self, reason: str | Promise) -> int:
        """End the running logs as failed; return their number.

        Their workers lose their claims, and check these before they write anything more.
        """
        return self.running().update(
            state=SyncLog.State.FAILED, ended_at=Now(), message=to_message(reason), owner="", lease_until=None
        )


class SyncLog(models.Model):
    """One sync of one type of one account, over all its regions, with its result.

    It is created with the request, so that its page can be watched from the beginning; a worker then claims it with a lease
    (tasks/leases.py). A unique index allows one running log of an account and type.
    """

    class State(models.TextChoices):
        RUNNING = (
            "running",
            _("running"),
        )  # requested; `owner` is the worker that has claimed it, "" before that
        SUCCESS = "success", _("success")  # every region was listed completely
        # A region was not listed completely, or its losses are on hold; `message` holds the reason.
        FAILED = "failed", _("failed")

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="sync_logs", verbose_name=_("cloud account")
    )
    type = models.CharField(_("type"), max_length=30)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RUNNING)
    # The user who requested it; None for the schedule.
    asked_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", db_index=False, verbose_name=_("requested by")
    )
    created = models.PositiveIntegerField(_("created"), default=0)
    updated = models.PositiveIntegerField(pgettext_lazy("how many", "updated"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    expired = models.PositiveIntegerField(_("expired"), default=0)
    # Resources that this listing did not show and that have not expired yet.
    missing = models.PositiveIntegerField(_("missing"), default=0, db_default=0)
    # Resources that would have expired, but are so many that a person has to confirm it.
    held_back = models.PositiveIntegerField(_("held back"), default=0, db_default=0)
    # Objects that were listed but could not be read; `message` and the lines name them.
    unreadable = models.PositiveIntegerField(_("unreadable"), default=0, db_default=0)
    losses_accepted = models.BooleanField(_("losses accepted"), default=False, db_default=False)
    # The result of each region by name: "", or the reason why it failed.
    regions = MessageMapField(_("regions"), default=dict, db_default={})
    message = MessageField(_("message"), blank=True, default="")
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # When it was last dispatched; the sweep dispatches it again while no worker has claimed it.
    rung_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    owner = models.CharField(max_length=100, blank=True, default="", editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)

    objects = SyncLogQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("sync log")
        verbose_name_plural = _("sync logs")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "type"],
                condition=models.Q(state="running"),
                name="one_running_sync_per_account_and_type",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="sync_log_by_account"),
            models.Index(fields=["account", "type", "state", "-id"], name="sync_log_by_type"),
            models.Index(fields=["ended_at"], name="sync_log_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.type} {self.started_at:%Y-%m-%d %H:%M:%S}"


class SyncLogLine(models.Model):
    """A line of a sync log, appended while the sync runs."""

    class Level(models.TextChoices):
        INFO = "info", _("info")
        WARNING = "warning", _("warning")
        ERROR = "error", _("error")

    id = models.BigAutoField(primary_key=True)
    log = models.ForeignKey(
        SyncLog, models.CASCADE, related_name="lines", db_index=False, verbose_name=_("sync log")
    )
    at = models.DateTimeField(_("at"), default=timezone.now)
    level = models.CharField(_("level"), max_length=10, choices=Level.choices, default=Level.INFO)
    text = MessageField(_("text"))
    # The sentence of a line that the release before has written, with its parameters (log_lines.py). Now `text` has both.
    code = models.CharField(max_length=20, blank=True, default="", db_default="", editable=False)
    params = models.JSONField(default=dict, db_default={}, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name = _("line of a sync log")
        verbose_name_plural = _("lines of sync logs")
        indexes = [models.Index(fields=["log", "id"], name="sync_line_by_log")]

    def __str__(self) -> str:
        return self.text[:100]
