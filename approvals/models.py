"""Policies of approval, requests that wait for it, and the decisions about them."""

from __future__ import annotations

import uuid
from datetime import time
from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from security.encryption import decrypt, encrypt
from tasks.models import Job
from tenants.models import Tenant
from tenants.scoping import TenantScopedQuerySet

MAX_VALID_HOURS = 30 * 24
MAX_COMMENT_LENGTH = 2000


class ApproverRole(models.TextChoices):
    """The role by which somebody may approve, apart from those who are listed by name."""

    NOBODY = "", _("only the listed users")
    OPERATOR = "operator", _("operators and administrators of the tenant")
    ADMIN = "admin", _("administrators of the tenant")
    STAFF = "staff", _("platform administrators")


class ApprovalPolicyQuerySet(TenantScopedQuerySet):
    """Policies of tenants; a policy without a tenant is the platform's, and holds for all of them."""


class ApprovalPolicy(models.Model):
    """A rule about commands that need agreement before they are carried out.

    It matches a request when one of the request's commands has a kind of `commands` and meets every condition. A condition of
    null, or an empty list, is none. Each level needs one person; the levels decide one after the other.
    """

    class AppliesAt(models.TextChoices):
        ALWAYS = "always", _("at any time")
        WORKING_HOURS = "working_hours", _("during working hours")
        OUTSIDE_WORKING_HOURS = "outside_working_hours", _("outside of working hours")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id: uuid.UUID | None
    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="approval_policies",
        verbose_name=_("tenant"),
        help_text=_("Empty = every tenant."),
    )
    name = models.CharField(_("name"), max_length=100)
    active = models.BooleanField(_("active"), default=True)
    commands = models.JSONField(_("commands"), default=list)
    min_count = models.PositiveIntegerField(
        _("from this number of objects"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    min_cpu_cores = models.PositiveIntegerField(_("from this number of CPU cores"), null=True, blank=True)
    min_memory_gb = models.PositiveIntegerField(_("from this memory (GB)"), null=True, blank=True)
    min_disk_gb = models.PositiveIntegerField(_("from this disk size (GB)"), null=True, blank=True)
    data_center_types = models.JSONField(_("data-center types"), default=list, blank=True)
    applies_at = models.CharField(
        _("applies"), max_length=30, choices=AppliesAt.choices, default=AppliesAt.ALWAYS
    )
    # Monday to Friday, in the tenant's time zone.
    work_begins = models.TimeField(_("working hours begin"), default=time(9))
    work_ends = models.TimeField(_("working hours end"), default=time(18))
    valid_hours = models.PositiveIntegerField(
        _("hours until a request expires"),
        default=72,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_VALID_HOURS)],
    )
    level_count = models.PositiveSmallIntegerField(
        _("levels"), default=1, validators=[MinValueValidator(1), MaxValueValidator(2)]
    )
    level1_role = models.CharField(
        _("first approval by"),
        max_length=10,
        choices=ApproverRole.choices,
        default=ApproverRole.ADMIN,
        blank=True,
    )
    level2_role = models.CharField(
        _("second approval by"),
        max_length=10,
        choices=ApproverRole.choices,
        default=ApproverRole.NOBODY,
        blank=True,
    )
    created_at = models.DateTimeField(_("created"), db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ApprovalPolicyQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("approval policy")
        verbose_name_plural = _("approval policies")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "name"], name="approval_policy_name"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(tenant=None), name="approval_policy_name_of_platform"
            ),
            models.CheckConstraint(condition=Q(level_count__in=[1, 2]), name="approval_policy_levels"),
            models.CheckConstraint(
                condition=Q(valid_hours__gte=1, valid_hours__lte=MAX_VALID_HOURS),
                name="approval_policy_valid_hours",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyApprover(models.Model):
    """A user who is listed by name as an approver of a policy's level."""

    id = models.BigAutoField(primary_key=True)
    # That of the policy, so that the event of a change belongs to the tenant.
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+", verbose_name=_("tenant"))
    policy = models.ForeignKey(
        ApprovalPolicy, models.CASCADE, related_name="approvers", verbose_name=_("policy")
    )
    level = models.PositiveSmallIntegerField(_("level"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )

    objects = TenantScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("approver")
        verbose_name_plural = _("approvers")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["policy", "level", "user"], name="approver_once_per_level")
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} {self.level}: {self.user_id}"


class RequestStatus(models.TextChoices):
    """The states of a request. All but the first are final; what follows an approval is told by the job."""

    PENDING = "pending", _("waiting for approval")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("withdrawn")
    EXPIRED = "expired", _("expired")


class ApprovalRequestQuerySet(TenantScopedQuerySet):
    """Requests of tenants."""

    def for_display(self) -> Self:
        """Fetch the rows that pages and answers show: requester, job, decisions. Two queries."""
        return self.select_related("requested_by", "tenant", "job").prefetch_related(
            models.Prefetch("decisions", ApprovalDecision.objects.select_related("user", "on_behalf_of"))
        )

    def pending(self) -> Self:
        """Return the requests that may still be decided."""
        return self.filter(status=RequestStatus.PENDING, expires_at__gt=Now())


class ApprovalRequest(models.Model):
    """A call of a service that waits for approval: its arguments, and its commands as they were validated.

    Its terms (levels, expiry) are those of the policies when it was requested: a policy that is changed or removed later
    neither releases nor tightens it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="approval_requests", verbose_name=_("tenant")
    )
    # The stored name of the service (`tasks/operations.py`), and its arguments. They may have secrets, such as user data.
    operation = models.CharField(_("operation"), max_length=100)
    encrypted_arguments = models.TextField(editable=False)
    # Whether the requester selected a tenant: staff may have acted without one.
    has_tenant_scope = models.BooleanField(default=True)
    # The digest of the commands with all their parameters: the same command is not requested twice.
    command_digest = models.CharField(max_length=64)
    # The commands in the form that people agree to; a repetition must have the same ones.
    plan = models.JSONField(_("plan"))
    # What has changed since the plan that was agreed to before, as [{"path", "before", "after"}].
    difference = models.JSONField(_("difference"), default=list)
    kind = models.CharField(_("command"), max_length=100)
    subject = models.CharField(_("subject"), max_length=300)
    policies = models.JSONField(_("policies"), default=list)
    # Who has to agree, one level after the other: [{"role": "admin", "users": ["<id>"]}].
    levels = models.JSONField(_("levels"))
    # The level that is open now, from 0.
    level = models.PositiveSmallIntegerField(_("level"), default=0)
    # The role and the users of the open level, for queries.
    waits_for_role = models.CharField(max_length=10, choices=ApproverRole.choices, blank=True, default="")
    waits_for = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="+", blank=True, verbose_name=_("waits for")
    )
    reserved_vms = models.PositiveIntegerField(default=0)
    reserved_cpu_cores = models.PositiveIntegerField(default=0)
    reserved_memory_gb = models.PositiveIntegerField(default=0)
    reserved_disk_gb = models.PositiveIntegerField(default=0)
    reason = models.TextField(_("reason"), blank=True, default="", max_length=MAX_COMMENT_LENGTH)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    status = models.CharField(
        _("status"), max_length=10, choices=RequestStatus.choices, default=RequestStatus.PENDING
    )
    created_at = models.DateTimeField(_("requested"), db_default=Now())
    expires_at = models.DateTimeField(_("expires"))
    ended_at = models.DateTimeField(_("decided"), null=True, blank=True)
    # The first of its jobs, and the ids of all of them.
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    job_ids = models.JSONField(default=list)

    objects = ApprovalRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("request")
        verbose_name_plural = _("requests")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(status__in=RequestStatus.values), name="approval_request_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.PENDING, ended_at=None)
                | (~Q(status=RequestStatus.PENDING) & Q(ended_at__isnull=False)),
                name="approval_request_ends_once",
            ),
            models.UniqueConstraint(
                fields=["tenant", "command_digest"],
                condition=Q(status=RequestStatus.PENDING),
                name="approval_request_once",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "-created_at"], name="approval_request_newest"),
            models.Index(
                fields=["expires_at"],
                condition=Q(status=RequestStatus.PENDING),
                name="approval_request_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} ({self.status})"

    def store_arguments(self, text: str) -> None:
        """Encrypt the arguments into the row."""
        self.encrypted_arguments = encrypt(text)

    def read_arguments(self) -> str:
        """Return the arguments. Raises `UnreadableSecretError` when no key decrypts them."""
        return decrypt(self.encrypted_arguments)

    @property
    def open_level(self) -> dict[str, Any]:
        """Return the terms of the level that is open."""
        return dict(self.levels[self.level])


class ApprovalDecisionQuerySet(TenantScopedQuerySet):
    """Decisions about requests of tenants."""

    tenant_path: ClassVar[str] = "request__tenant"


class ApprovalDecision(models.Model):
    """A decision about a request, or a comment on it. Rows are only added; an approval of another plan is marked as void."""

    class Kind(models.TextChoices):
        APPROVED = "approved", _("approved")
        REJECTED = "rejected", _("rejected")
        WITHDRAWN = "withdrawn", _("withdrawn")
        COMMENTED = "commented", _("commented")
        BROKE_GLASS = "broke_glass", _("carried out without approval")

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(
        ApprovalRequest, models.CASCADE, related_name="decisions", verbose_name=_("request")
    )
    kind = models.CharField(_("decision"), max_length=12, choices=Kind.choices)
    level = models.PositiveSmallIntegerField(_("level"), null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("user")
    )
    user_name = models.CharField(_("user"), max_length=150)
    # The person who has named this user as a delegate.
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("on behalf of"),
    )
    comment = models.TextField(_("comment"), blank=True, default="", max_length=MAX_COMMENT_LENGTH)
    # It agreed to a plan that has changed since.
    is_void = models.BooleanField(_("void"), default=False)
    created_at = models.DateTimeField(_("time"), db_default=Now())

    objects = ApprovalDecisionQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["request", "level"],
                condition=Q(kind="approved", is_void=False),
                name="approval_once_per_level",
            ),
            models.UniqueConstraint(
                fields=["request", "user"],
                condition=Q(kind="approved", is_void=False),
                name="approval_once_per_user",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_name}: {self.kind}"


class ApprovalDelegationQuerySet(TenantScopedQuerySet):
    """Delegations in tenants."""

    def active(self) -> Self:
        """Return the delegations that hold now."""
        return self.not_over().filter(starts_at__lte=Now())

    def not_over(self) -> Self:
        """Return the delegations that hold now or later."""
        return self.filter(ends_at__gt=Now())


class ApprovalDelegation(models.Model):
    """A period in which another member may approve in a user's place."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", verbose_name=_("tenant"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )
    delegate = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("delegate")
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = ApprovalDelegationQuerySet.as_manager()

    class Meta:
        ordering = ["starts_at", "id"]
        verbose_name = _("delegation")
        verbose_name_plural = _("delegations")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="delegation_has_a_length"),
            models.CheckConstraint(condition=~Q(user=F("delegate")), name="delegation_to_somebody_else"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["delegate", "tenant", "ends_at"], name="delegation_of_delegate")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} → {self.delegate_id}"
