"""Grants: which tenants may use which flavors, images, networks and the like of a shared account."""

from __future__ import annotations

import re
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Func, OuterRef, Q, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant, User
from tenants.scoping import TenantScopedQuerySet

from .accounts import CloudAccount

# A match that begins with this names a tag of the objects, any other one a pattern of their names.
TAG_PREFIX = "tag:"


class CatalogueKind(models.TextChoices):
    """The kinds of objects that are granted. All but the last two are types of resources of the same code."""

    NETWORK = "network", _("network")
    FLAVOR = "flavor", _("flavor")
    IMAGE = "image", _("image")
    VOLUME_TYPE = "volume_type", _("volume type")
    ZONE = "zone", _("availability zone")
    # Networks from which floating IPs are taken. They are resources of the type "network", too.
    EXTERNAL_NETWORK = "external_network", _("external network")
    # Policies of server groups are constants of Nova, not objects: the id of one is its name.
    SERVER_GROUP_POLICY = "server_group_policy", _("server group policy")


# The types of resources that a grant can be for.
GRANTED_TYPES = tuple(
    str(kind)
    for kind in CatalogueKind
    if kind not in (CatalogueKind.EXTERNAL_NETWORK, CatalogueKind.SERVER_GROUP_POLICY)
)
SERVER_GROUP_POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


class CatalogueGrantQuerySet(TenantScopedQuerySet):
    """Grants; a grant without a tenant is for all of them."""

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the grants that a tenant has: its own, and those for all tenants."""
        return self.filter(Q(tenant=tenant) | Q(tenant=None))

    def of_member(self, user: User) -> Self:
        """Return the grants that any tenant of the user has."""
        return self.filter(Q(tenant=None) | Q(tenant__in=Tenant.objects.of_member(user).values("pk")))

    def of_resource(self, path: str = "") -> Self:
        """Return the grants of a resource of the outer query, for `Exists`; `path` leads to it, such as `resource__`.

        A pattern matches names as PostgreSQL's `~` does, in linear time whatever the pattern.
        """
        return self.annotate(
            resource_name=_outer(f"{path}name", models.CharField()),
            resource_tags=_outer(f"{path}attributes__tags", models.JSONField()),
        ).filter(
            Q(cloud_id=OuterRef(f"{path}cloud_id"))
            | Q(name_pattern__gt="", resource_name__regex=F("name_pattern"))
            | Q(tag__gt="", resource_tags__contains=Func(F("tag"), function="jsonb_build_array")),
            account=OuterRef(f"{path}account"),
            kind=OuterRef("catalogue_kind"),
        )


def _outer(name: str, output_field: models.Field[Any, Any]) -> models.ExpressionWrapper[Any]:
    return models.ExpressionWrapper(OuterRef(name), output_field=output_field)


class CatalogueGrant(models.Model):
    """Lets a tenant, or all tenants, use an object of a shared account, or all objects whose name or tag matches.

    In an account of the tenant's own everything may be used, without grants. A grant that is deleted changes no VM that
    exists.
    """

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="catalogue_grants",
        verbose_name=_("tenant"),
        help_text=_("Empty: every tenant."),
    )
    account = models.ForeignKey(
        CloudAccount,
        models.CASCADE,
        related_name="catalogue_grants",
        verbose_name=_("cloud account"),
        db_index=False,  # catalogue_grant_once begins with it.
    )
    kind = models.CharField(_("kind"), max_length=30, choices=CatalogueKind.choices)
    cloud_id = models.CharField(
        _("object"), max_length=255, blank=True, default="", help_text=_("The id of one object in the cloud.")
    )
    match = models.CharField(
        _("match"),
        max_length=255,
        blank=True,
        default="",
        help_text=_(
            "A pattern of names, in which * stands for any text, or tag: and a tag. Objects that the cloud gets later match, too."
        ),
    )
    # Both are derived from `match` by `save`, for the comparison in the database.
    name_pattern = models.CharField(max_length=1100, blank=True, default="", editable=False)
    tag = models.CharField(max_length=255, blank=True, default="", editable=False)
    note = models.CharField(_("note"), max_length=255, blank=True, default="")
    # Written by the migration that began to require grants, for what was in use then.
    by_upgrade = models.BooleanField(_("granted by the upgrade"), default=False, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("granted by"),
    )
    created_at = models.DateTimeField(_("granted"), db_default=Now(), editable=False)

    objects = CatalogueGrantQuerySet.as_manager()

    class Meta:
        ordering = ["account__name", "kind", "match", "cloud_id", "id"]
        verbose_name = _("catalog grant")
        verbose_name_plural = _("catalog grants")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "tenant", "kind", "cloud_id", "match"],
                nulls_distinct=False,
                name="catalogue_grant_once",
            ),
            models.CheckConstraint(
                condition=(Q(cloud_id="") & ~Q(match="")) | (~Q(cloud_id="") & Q(match="")),
                name="catalogue_grant_of_one",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.cloud_id or self.match}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the grant with what its match is compared by."""
        self.name_pattern, self.tag = derive_match(self.match)
        super().save(*args, **kwargs)


def derive_match(match: str) -> tuple[str, str]:
    """Return what a match is compared by: a regular expression of whole names, or a tag; both are "" without a match."""
    if match.startswith(TAG_PREFIX):
        return "", match.removeprefix(TAG_PREFIX)
    # Only ASCII's punctuation has a meaning to PostgreSQL, and only that may be escaped.
    parts = (re.sub(r"([ -/:-@\[-^`{-~])", r"\\\1", part) for part in match.split("*"))
    return (f"^{'.*'.join(parts)}$" if match else ""), ""


def with_catalogue_kind(rows: Any, path: str = "") -> Any:
    """Annotate resources, or rows from which `path` leads to one, with the kind of grant that the resource needs."""
    external = {f"{path}type": CatalogueKind.NETWORK, f"{path}attributes__is_external": True}
    return rows.annotate(
        catalogue_kind=Case(
            When(**external, then=models.Value(CatalogueKind.EXTERNAL_NETWORK.value)),
            default=F(f"{path}type"),
            output_field=models.CharField(),
        )
    )
