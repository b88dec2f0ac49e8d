"""Events, and the chain of each tenant's events."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant
from tenants.scoping import TenantScopedQuerySet


class EventQuerySet(TenantScopedQuerySet):
    """Events of tenants; those of the platform have no tenant."""


class Event(models.Model):
    """A change that was made, an action that was requested, or an attempt that was refused.

    The row is written in the transaction of the change, by a trigger of the changed table (`tracking.py`) or by
    `record_event`, so there is no change without its event and no event without its change. It gets its number afterwards
    (`numbering.py`). Nothing updates or deletes it later but retention.
    """

    class ActorType(models.TextChoices):
        USER = "user", _("user")  # signed in on a page
        TOKEN = "token", _("API token")
        SYSTEM = "system", _("system")  # the portal itself: a schedule, a worker, a command line

    id = models.BigAutoField(primary_key=True)
    # The event outlives its tenant, so the database does not check that the tenant exists.
    tenant = models.ForeignKey(
        Tenant,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("tenant"),
    )
    number = models.BigIntegerField(_("number"), null=True)
    code = models.CharField(_("event"), max_length=80)
    at = models.DateTimeField(_("time"), db_default=Now())
    actor_type = models.CharField(
        _("kind of actor"),
        max_length=10,
        choices=ActorType.choices,
        default=ActorType.SYSTEM,
        db_default=ActorType.SYSTEM,
    )
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(_("actor"), max_length=150, default="", db_default="")
    # The name of the API token that the actor used.
    token_name = models.CharField(_("API token"), max_length=150, default="", db_default="")
    address = models.CharField(_("address"), max_length=64, default="", db_default="")
    request_id = models.CharField(_("request ID"), max_length=128, default="", db_default="")
    object_type = models.CharField(_("object type"), max_length=50, default="", db_default="")
    object_id = models.CharField(_("object ID"), max_length=64, default="", db_default="")
    object_name = models.CharField(_("object"), max_length=300, default="", db_default="")
    parameters = models.JSONField(
        _("parameters"), default=dict, db_default=models.Value({}, models.JSONField())
    )
    # The columns that have changed, with their values; None where there was no row before or is none after.
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("after"), null=True)
    # The digest of this event and of the one before it, so that a later change or removal of a row is found.
    digest = models.CharField(max_length=64, default="", db_default="")

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "number"], name="event_number"),
            models.UniqueConstraint(
                fields=["number"], condition=models.Q(tenant=None), name="event_number_of_platform"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["tenant", "id"], condition=models.Q(number=None), name="event_without_number"
            ),
            models.Index(fields=["tenant", "object_type", "object_id", "id"], name="event_of_object"),
            models.Index(fields=["tenant", "-id"], name="event_newest"),
            models.Index(fields=["at"], name="event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.number or '-'} {self.code}"


class EventChain(models.Model):
    """The ends of the chain of a tenant's events; one row without a tenant is that of the platform.

    `last_number` is the number that was given last. Events up to `removed_number` were removed by retention; the digest of
    the last of them is kept, so that the rest can still be verified.
    """

    tenant_id: UUID | None
    tenant = models.OneToOneField(
        Tenant, models.DO_NOTHING, null=True, db_constraint=False, related_name="+", verbose_name=_("tenant")
    )
    last_number = models.BigIntegerField(default=0, db_default=0)
    last_digest = models.CharField(max_length=64, default="", db_default="")
    removed_number = models.BigIntegerField(default=0, db_default=0)
    removed_digest = models.CharField(max_length=64, default="", db_default="")
    # Events up to this number were forwarded to the syslog server (`syslog.py`).
    forwarded_number = models.BigIntegerField(default=0, db_default=0)

    objects = TenantScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("chain of events")
        verbose_name_plural = _("chains of events")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(tenant=None), name="event_chain_of_platform"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id or '-'}: {self.last_number}"
