"""Grants of shared accounts in the admin."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from tenants.models import User

from .models import CatalogueGrant
from .services.catalogue import GrantRequest, validate_grant


class CatalogueGrantForm(forms.ModelForm[CatalogueGrant]):
    """The form of a new grant, with the same checks as the API's."""

    class Meta:
        model = CatalogueGrant
        fields = ["account", "tenant", "kind", "cloud_id", "match", "note"]

    def clean(self) -> dict[str, Any]:
        """Add the errors of the grant beside its fields."""
        given = super().clean() or {}
        if not self.errors:
            request = GrantRequest(
                given["tenant"],
                given["account"],
                given["kind"],
                given["cloud_id"],
                given["match"],
                given["note"],
            )
            for name, errors in validate_grant(request).items():
                self.add_error("cloud_id" if name == "object" else name, [str(error) for error in errors])
        return given


@admin.register(CatalogueGrant)
class CatalogueGrantAdmin(admin.ModelAdmin[CatalogueGrant]):
    """What tenants may use of shared accounts. A grant is not edited: it is taken back, and another one is given."""

    list_display = ["account", "kind", "cloud_id", "match", "tenant", "note", "by_upgrade", "created_at"]
    list_filter = ["by_upgrade", "kind", "account", "tenant"]
    search_fields = ["cloud_id", "match", "note"]
    list_select_related = ["account", "tenant"]
    form = CatalogueGrantForm

    def has_change_permission(self, request: HttpRequest, obj: CatalogueGrant | None = None) -> bool:
        """Return False: what a grant is for does not change."""
        return False

    def save_model(self, request: HttpRequest, obj: CatalogueGrant, form: Any, change: bool) -> None:
        """Save a new grant with who gave it."""
        obj.created_by = cast("User", request.user)
        super().save_model(request, obj, form, change)
