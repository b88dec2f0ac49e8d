"""Policies, requests and delegations in the admin. Requests are read-only there: their pages decide about them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnlyAdmin, ReadOnlyInline
from tasks.command import command_title
from tasks.operations import list_gated_kinds

from .models import ApprovalDecision, ApprovalDelegation, ApprovalPolicy, ApprovalRequest, PolicyApprover
from .offers import list_data_center_types


class PolicyAdminForm(forms.ModelForm[ApprovalPolicy]):
    """The form of a policy, with the commands and data-center types that there are."""

    commands = forms.MultipleChoiceField(label=_("commands"), widget=forms.CheckboxSelectMultiple)
    data_center_types = forms.MultipleChoiceField(
        label=_("data-center types"), widget=forms.CheckboxSelectMultiple, required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds: Any = self.fields["commands"]
        kinds.choices = [(kind, command_title(kind)) for kind in list_gated_kinds()]
        types: Any = self.fields["data_center_types"]
        types.choices = list_data_center_types()


class ApproverInline(admin.TabularInline[PolicyApprover, ApprovalPolicy]):
    """The approvers that a policy lists by name."""

    model = PolicyApprover
    fields = ["level", "user"]
    raw_id_fields = ["user"]
    extra = 0


@admin.register(ApprovalPolicy)
class ApprovalPolicyAdmin(admin.ModelAdmin[ApprovalPolicy]):
    """The policies of all tenants, and of the platform."""

    form = PolicyAdminForm
    list_display = ["name", "tenant", "active", "level_count", "level1_role", "level2_role"]
    list_filter = ["active", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    inlines = [ApproverInline]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Write the policy's tenant into its approvers, so that their events belong to it."""
        for approver in formset.save(commit=False):
            approver.tenant = form.instance.tenant
            approver.save()
        for removed in formset.deleted_objects:
            removed.delete()
        formset.save_m2m()


class DecisionInline(ReadOnlyInline):
    """The decisions about a request."""

    model = ApprovalDecision
    fields = ["kind", "level", "user_name", "on_behalf_of", "comment", "is_void", "created_at"]
    readonly_fields = ["kind", "level", "user_name", "on_behalf_of", "comment", "is_void", "created_at"]


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ReadOnlyAdmin):
    """The requests of all tenants."""

    list_display = ["created_at", "tenant", "kind", "subject", "requested_by", "status", "expires_at"]
    list_filter = ["status", "tenant"]
    list_select_related = ["tenant", "requested_by"]
    search_fields = ["subject", "requested_by__username"]
    exclude = ["encrypted_arguments", "command_digest"]
    inlines = [DecisionInline]


@admin.register(ApprovalDelegation)
class ApprovalDelegationAdmin(admin.ModelAdmin[ApprovalDelegation]):
    """The delegations of all tenants."""

    list_display = ["tenant", "user", "delegate", "starts_at", "ends_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant", "user", "delegate"]
    raw_id_fields = ["user", "delegate"]
