"""Services, versions, hosts and instances in the admin, checked as over REST; deployments to be read. Keys go in alone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from portal.api.errors import Refused
from tasks.admin import ReadOnly, ReadOnlyRows

from .models import (
    DeployKey,
    Deployment,
    DeploymentItem,
    Host,
    MicroService,
    MicroServiceInstance,
    MicroServiceVersion,
)
from .services.catalogue import (
    DEPLOYED_BY,
    enter_version,
    problems_of_service,
    problems_of_version,
    refuse_change_of_version,
)
from .services.hosts import problems_of_address
from .services.keys import check_key

BEING_DEPLOYED = _("Something is being deployed there; wait for the end.")


def _texts(problem: Any) -> list[str]:
    """A problem of a field as lines: a field within it stands in front."""
    if isinstance(problem, dict):
        return [f"{name}: {text}" for name, texts in problem.items() for text in texts]
    return [str(text) for text in problem]


def _save_changed(row: Any, form: Any, *columns: str) -> None:
    """Save what was changed in the form, and nothing else: a deployment or another person may have written the rest."""
    row.save(update_fields=[*(name for name in form.changed_data if name in form.fields), *columns])


class ServiceForm(forms.ModelForm[MicroService]):
    """A service that its executor can deploy."""

    def clean(self) -> dict[str, Any]:
        """What was entered. Raises validation errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        if self.errors:
            return entered
        entered["executor_settings"] = entered.get("executor_settings") or {}
        if not isinstance(entered["executor_settings"], dict):
            self.add_error("executor_settings", _("Expected an object."))
            return entered
        for name, problem in problems_of_service(entered).items():
            self.add_error(name, _texts(problem))
        old = self.instance if not self.instance._state.adding else None  # noqa: SLF001 - Django's documented API.
        if old is None:
            return entered
        if DEPLOYED_BY & set(self.changed_data) and old.instances.filter(locked=True).exists():
            self.add_error(None, BEING_DEPLOYED)
        if "information_system" in self.changed_data:
            tenant = MicroService.objects.values_list("information_system__tenant", flat=True).get(pk=old.pk)
            if entered["information_system"].tenant_id != tenant:
                self.add_error("information_system", _("It is of another tenant."))
        return entered


@admin.register(MicroService)
class MicroServiceAdmin(admin.ModelAdmin[MicroService]):
    """Services."""

    form = ServiceForm
    list_display = ["name", "information_system", "language", "executor", "port", "last_number", "updated_at"]
    list_filter = ["executor", "information_system__tenant"]
    search_fields = ["name", "description"]
    list_select_related = ["information_system"]
    autocomplete_fields = ["information_system"]
    readonly_fields = ["last_number", "version", "created_at", "updated_at"]
    actions = None

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Another version of the row, for those who hold its ETag."""
        if not change:
            obj.save()
            return
        obj.version = F("version") + 1
        _save_changed(obj, form, "version", "updated_at")


class VersionForm(forms.ModelForm[MicroServiceVersion]):
    """A version; of one that was deployed, the sum stays."""

    def clean(self) -> dict[str, Any]:
        """What was entered. Raises validation errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        if self.errors:
            return entered
        for name, problem in problems_of_version(entered).items():
            self.add_error(name, _texts(problem))
        if not self.instance._state.adding:  # noqa: SLF001 - as above.
            stored = MicroServiceVersion.objects.get(pk=self.instance.pk)
            try:
                refuse_change_of_version(stored, entered)
            except Refused as error:
                field = "build_status" if error.code == "wrong_state" else "sha256"
                self.add_error(field, str(error.detail))
        return entered


@admin.register(MicroServiceVersion)
class MicroServiceVersionAdmin(admin.ModelAdmin[MicroServiceVersion]):
    """Versions. A new one gets the next number of its service."""

    form = VersionForm
    fields = [
        "service",
        "label",
        "number",
        "build_status",
        "artifact_url",
        "sha256",
        "notes",
        "built_at",
        "created_by",
        "created_at",
    ]
    list_display = ["label", "service", "number", "build_status", "built_at", "created_by", "created_at"]
    list_filter = ["build_status", "service__information_system__tenant"]
    search_fields = ["label", "service__name"]
    list_select_related = ["service", "created_by"]
    autocomplete_fields = ["service"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[MicroServiceVersion]:
        """With what a version calls itself by."""
        return super().get_queryset(request).select_related("service", "created_by")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Which service's it is, and under which label, is said once."""
        told = ["number", "built_at", "created_by", "created_at"]
        return told if obj is None else ["service", "label", *told]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A new one under the next number."""
        if change:
            obj.save()
        else:
            obj.created_by = request.user
            enter_version(obj)


class HostForm(forms.ModelForm[Host]):
    """A host where the portal may go."""

    def clean(self) -> dict[str, Any]:
        """What was entered. Raises validation errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        if self.errors:
            return entered
        for text in problems_of_address(entered["ip"]):
            self.add_error("ip", text)
        tenant, vm = entered.get("tenant") or self.instance.tenant, entered.get("vm")
        if vm is not None and vm.information_system.tenant_id != tenant.pk:
            self.add_error("vm", _("It is of another tenant."))
        if self.instance.instances.filter(locked=True).exists():
            self.add_error(None, BEING_DEPLOYED)
        return entered


@admin.register(Host)
class HostAdmin(admin.ModelAdmin[Host]):
    """Hosts."""

    form = HostForm
    list_display = ["hostname", "ip", "ssh_port", "user", "tenant", "vm", "updated_at"]
    list_filter = ["tenant"]
    search_fields = ["hostname", "ip"]
    list_select_related = ["tenant", "vm"]
    autocomplete_fields = ["tenant", "vm"]
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Whose it is, is said once: services of that tenant run on it."""
        told = ["version", "created_at", "updated_at"]
        return told if obj is None else ["tenant", *told]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Another version of the row, for those who hold its ETag."""
        if change:
            obj.version = F("version") + 1
            _save_changed(obj, form, "version", "updated_at")
        else:
            obj.save()


class DeployKeyForm(forms.ModelForm[DeployKey]):
    """A key that is written and never shown."""

    private_key = forms.CharField(
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
        self.fields["private_key"].widget.format_value = lambda _value: ""

    def clean_private_key(self) -> str:
        """One that can be used."""
        text: str = self.cleaned_data["private_key"].replace("\r\n", "\n")
        if wrong := check_key(text):
            raise forms.ValidationError(wrong)
        return text


@admin.register(DeployKey)
class DeployKeyAdmin(admin.ModelAdmin[DeployKey]):
    """The keys of tenants."""

    form = DeployKeyForm
    fields = ["tenant", "private_key", "updated_by", "updated_at"]
    list_display = ["tenant", "updated_by", "updated_at"]
    list_filter = ["updated_at"]
    search_fields = ["tenant__name", "tenant__slug"]
    list_select_related = ["tenant", "updated_by"]
    autocomplete_fields = ["tenant"]
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """The tenant is chosen once."""
        return ["updated_by", "updated_at"] if obj is None else ["tenant", "updated_by", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Encrypted, with who has set it."""
        obj.set_private_key(form.cleaned_data["private_key"])
        obj.updated_by = request.user
        obj.save()


class InstanceForm(forms.ModelForm[MicroServiceInstance]):
    """A version of the service, on a host of the same tenant; what a deployment holds stays as it is."""

    def clean(self) -> dict[str, Any]:
        """What was entered. Raises validation errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        if self.instance.locked:
            self.add_error(None, BEING_DEPLOYED)
        service, host, version = (entered.get(name) for name in ("service", "host", "version"))
        if service and host and host.tenant_id != service.information_system.tenant_id:
            self.add_error("host", _("It is of another tenant."))
        if service and version and version.service_id != service.pk:
            self.add_error("version", _("It is of another service."))
        return entered


@admin.register(MicroServiceInstance)
class MicroServiceInstanceAdmin(admin.ModelAdmin[MicroServiceInstance]):
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
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """What is where, is said once."""
        told = ["status", "locked", "locked_by", "updated_by", "created_at", "updated_at"]
        return told if obj is None else ["service", "version", "host", *told]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while a deployment holds it."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.locked)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """With who has changed it."""
        obj.updated_by = request.user
        if change:
            _save_changed(obj, form, "updated_by", "updated_at")
        else:
            obj.save()


class ItemRows(ReadOnlyRows):
    """The instances of a deployment."""

    model = DeploymentItem
    fields = ["host_name", "batch", "result", "code", "message", "started_at", "ended_at"]


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    """Upgrades and reverts. They are made by services, and read here."""

    list_display = [
        "service",
        "action",
        "from_version",
        "to_version",
        "operator",
        "batches",
        "created_at",
        "ended_at",
    ]
    list_filter = ["action", "service__information_system__tenant"]
    search_fields = ["service__name", "to_version__label", "operator__username"]
    list_select_related = ["service", "from_version__service", "to_version__service", "operator"]
    inlines = [ItemRows]
    show_full_result_count = False


@admin.register(DeploymentItem)
class DeploymentItemAdmin(ReadOnly):
    """What became of each instance."""

    list_display = ["host_name", "deployment", "batch", "result", "code", "started_at", "ended_at"]
    list_filter = ["result", "code"]
    search_fields = ["host_name", "deployment__service__name"]
    list_select_related = ["deployment__service", "deployment__to_version"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeploymentItem]:
        """With what a deployment calls itself by."""
        return super().get_queryset(request).select_related("deployment__service", "deployment__to_version")
