"""Hosts, the keys to them, and what is on them."""

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
from .guarded_forms import BEING_DEPLOYED, OF_ANOTHER_TENANT, GuardedAdmin, GuardedForm, save_changed_fields


class HostForm(GuardedForm[Host]):
    """A host where the portal may go."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        entered = super().clean()
        if self.errors:
            return entered
        self.add_problems({"ip": validate_address(entered["ip"])})
        tenant, vm = entered.get("tenant") or self.instance.tenant, entered.get("vm")
        if vm is not None and vm.information_system.tenant_id != tenant.pk:
            self.add_error("vm", OF_ANOTHER_TENANT)
        # Django leaves a constraint unchecked when one of its fields is not in the form, as the tenant of a host that is there.
        named = Host.objects.filter(tenant=tenant, hostname=entered["hostname"])
        if named.exclude(pk=self.instance.pk).exists():
            message = _("The tenant has a host called '%(name)s' already.")
            self.add_error("hostname", message % {"name": entered["hostname"]})
        if self.instance.instances.filter(locked=True).exists():
            self.add_error(None, BEING_DEPLOYED)
        return entered


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
        """Whose it is, is said once: services of that tenant run on it."""
        told = ["version", "created_at", "updated_at"]
        return told if obj is None else ["tenant", *told]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Another version of the row, for those who hold its ETag."""
        if change:
            obj.version = F("version") + 1
            save_changed_fields(obj, form, "version", "updated_at")
        else:
            obj.save()


class DeployKeyForm(forms.ModelForm[DeployKey]):
    """A key that is written and never shown."""

    # Not `private_key`: under that name the row gives the key itself, and Django shows what a row gives.
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
        # A form that comes back with an error must not send the key back with it.
        self.fields["new_private_key"].widget.format_value = lambda _value: ""

    def clean_new_private_key(self) -> str:
        """One that can be used."""
        text: str = self.cleaned_data["new_private_key"].replace("\r\n", "\n")
        if wrong := validate_key(text):
            raise forms.ValidationError(wrong)
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
        """The tenant is chosen once."""
        return ["updated_by", "updated_at"] if obj is None else ["tenant", "updated_by", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Encrypted, with who has set it."""
        obj.set_private_key(form.cleaned_data["new_private_key"])
        obj.updated_by = request.user
        obj.save()


class InstanceForm(GuardedForm[MicroServiceInstance]):
    """A version of the service, on a host of the same tenant; what a deployment holds stays as it is."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        entered = super().clean()
        if self.instance.locked:
            self.add_error(None, BEING_DEPLOYED)
        service, host, version = (entered.get(name) for name in ("service", "host", "version"))
        if service and host and host.tenant_id != service.information_system.tenant_id:
            self.add_error("host", OF_ANOTHER_TENANT)
        if service and version and version.service_id != service.pk:
            self.add_error("version", _("It is of another service."))
        return entered


@admin.register(MicroServiceInstance)
class MicroServiceInstanceAdmin(GuardedAdmin[MicroServiceInstance]):
    """Instances. Which version runs is changed by deployments alone."""

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
        """Return the fixed fields: where an instance stands is entered once."""
        told = ["status", "locked", "locked_by", "updated_by", "created_at", "updated_at"]
        return told if obj is None else ["service", "version", "host", *told]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while a deployment holds it."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.locked)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """With who has changed it."""
        obj.updated_by = request.user
        if change:
            save_changed_fields(obj, form, "updated_by", "updated_at")
            return
        # Its folder stays what it is until the instance is there.
        MicroService.objects.select_for_update(no_key=True).get(pk=obj.service_id)
        check_folder_free(obj.service, [obj.host_id])
        obj.save()
