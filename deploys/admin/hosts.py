"""Hosts, deploy keys and instances."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import DeployKey, Host, MicroService, MicroServiceInstance
from ..services.folders import check_folder_free
from ..services.hosts import validate_address
from ..services.keys import validate_key
from .guarded_forms import BEING_DEPLOYED, OTHER_TENANT, GuardedAdmin, GuardedForm, save_changed_fields


class HostForm(GuardedForm[Host]):
    """The form of a host. Its address must be one that the portal may connect to."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        data = super().clean()
        if self.errors:
            return data
        self.add_problems({"ip": validate_address(data["ip"])})
        tenant, vm = data.get("tenant") or self.instance.tenant, data.get("vm")
        if vm is not None and vm.information_system.tenant_id != tenant.pk:
            self.add_error("vm", OTHER_TENANT)
        # Django does not check a constraint when the form lacks one of its fields, as it lacks the tenant of an existing host.
        named = Host.objects.filter(tenant=tenant, hostname=data["hostname"])
        if named.exclude(pk=self.instance.pk).exists():
            message = _("The tenant has a host called '%(name)s' already.")
            self.add_error("hostname", message % {"name": data["hostname"]})
        if self.instance.instances.filter(locked=True).exists():
            self.add_error(None, BEING_DEPLOYED)
        return data


@admin.register(Host)
class HostAdmin(GuardedAdmin[Host]):
    """Hosts."""

    form = HostForm
    list_display = ["hostname", "ip", "ssh_port", "user", "tenant", "vm", "updated_at"]
    list_filter = ["tenant"]
    search_fields = ["hostname", "ip"]
    list_select_related = ["tenant", "vm"]
    autocomplete_fields = ["tenant", "vm"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the readonly fields: the tenant of a host cannot change, because services of the tenant run on it."""
        readonly = ["version", "created_at", "updated_at"]
        return readonly if obj is None else ["tenant", *readonly]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the changes under a new version of the row, so that older ETags no longer match."""
        if change:
            obj.version = F("version") + 1
            save_changed_fields(obj, form, "version", "updated_at")
        else:
            obj.save()


class DeployKeyForm(forms.ModelForm[DeployKey]):
    """The form of a deploy key, which can be set and is never shown."""

    # Not `private_key`: the model has a method of that name, and Django would show the value.
    new_private_key = forms.CharField(
        label=_("private key"),
        strip=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"autocomplete": "off", "rows": 6}),
        help_text=_("In OpenSSH's format, without a passphrase. It is stored encrypted, and never shown."),
    )

    class Meta:
        model = DeployKey
        fields = ["tenant"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A form that is shown again with an error must not contain the key.
        self.fields["new_private_key"].widget.format_value = lambda _value: ""

    def clean_new_private_key(self) -> str:
        """Return the key. Raises a validation error for an invalid key."""
        text: str = self.cleaned_data["new_private_key"].replace("\r\n", "\n")
        if errors := validate_key(text):
            raise forms.ValidationError(errors)
        return text


@admin.register(DeployKey)
class DeployKeyAdmin(GuardedAdmin[DeployKey]):
    """The keys of tenants."""

    form = DeployKeyForm
    fields = ["tenant", "new_private_key", "updated_by", "updated_at"]
    list_display = ["tenant", "updated_by", "updated_at"]
    list_filter = ["updated_at"]
    search_fields = ["tenant__name", "tenant__slug"]
    list_select_related = ["tenant", "updated_by"]
    autocomplete_fields = ["tenant"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the readonly fields: the tenant of a key cannot change."""
        return ["updated_by", "updated_at"] if obj is None else ["tenant", "updated_by", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the encrypted key and the user who set it."""
        obj.set_private_key(form.cleaned_data["new_private_key"])
        obj.updated_by = request.user
        obj.save()


class InstanceForm(GuardedForm[MicroServiceInstance]):
    """The form of an instance: a version of the service, on a host of the same tenant. A locked instance cannot change."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        data = super().clean()
        if self.instance.locked:
            self.add_error(None, BEING_DEPLOYED)
        service, host, version = (data.get(name) for name in ("service", "host", "version"))
        if service and host and host.tenant_id != service.information_system.tenant_id:
            self.add_error("host", OTHER_TENANT)
        if service and version and version.service_id != service.pk:
            self.add_error("version", _("It is of another service."))
        return data


@admin.register(MicroServiceInstance)
class MicroServiceInstanceAdmin(GuardedAdmin[MicroServiceInstance]):
    """Instances. Only deployments change their version."""

    form = InstanceForm
    list_display = [
        "service",
        "host",
        "version",
        "port",
        "tag",
        "status",
        "locked",
        "is_maintain",
        "updated_at",
    ]
    list_filter = ["status", "locked", "is_maintain", "service__information_system__tenant"]
    search_fields = ["service__name", "host__hostname", "host__ip", "tag"]
    list_select_related = ["service", "host", "version__service", "locked_by"]
    autocomplete_fields = ["service", "version", "host"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the readonly fields: service, version and host cannot change here."""
        readonly = ["status", "locked", "locked_by", "updated_by", "created_at", "updated_at"]
        return readonly if obj is None else ["service", "version", "host", *readonly]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may delete the instance: not while a deployment has locked it."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.locked)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the changes and the user who made them."""
        obj.updated_by = request.user
        if change:
            save_changed_fields(obj, form, "updated_by", "updated_at")
            return
        # Locked, so that the folder of the service cannot change before the instance is saved.
        MicroService.objects.select_for_update(no_key=True).get(pk=obj.service_id)
        check_folder_free(obj.service, [obj.host_id])
        obj.save()
