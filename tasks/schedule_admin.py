"""The schedules of beat in the admin: without kinds that nobody uses, and with a question before one is disabled."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.admin import PeriodicTaskAdmin, PeriodicTaskForm
from django_celery_beat.models import ClockedSchedule, PeriodicTask, SolarSchedule

from .schedules import schedule_description

UNUSED_FIELDS = frozenset({"solar", "clocked"})


class ScheduleForm(PeriodicTaskForm):  # type: ignore[misc] # django-celery-beat has no types.
    """A schedule. Disabling one that the portal needs has to be confirmed."""

    confirm_disabled = forms.BooleanField(
        required=False, label=gettext_lazy("I know what is not done while the schedule is disabled")
    )

    def clean(self) -> Any:
        """Refuse to disable a schedule of the portal without the confirmation."""
        data = super().clean()
        was_enabled = self.instance.pk is not None and self.instance.enabled
        purpose = schedule_description(self.instance.name)
        # The instance has its new values only after this method.
        if was_enabled and purpose and data.get("enabled") is False and not data.get("confirm_disabled"):
            message = _("%(purpose)s While it is disabled, none of this happens. Confirm it below.")
            self.add_error("enabled", message % {"purpose": purpose})
        return data


class ScheduleAdmin(PeriodicTaskAdmin):  # type: ignore[misc] # django-celery-beat has no types.
    """Schedules. Those of many at once are only enabled and run, because each one to be disabled asks."""

    form = ScheduleForm
    actions = ("enable_tasks", "run_tasks")
    fieldsets = tuple(
        (title, {**options, "fields": tuple(name for name in options["fields"] if name not in UNUSED_FIELDS)})
        for title, options in PeriodicTaskAdmin.fieldsets
    )

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """Show the confirmation below the switch of a schedule that exists."""
        (title, first), *others = super().get_fieldsets(request, obj)
        if obj is None:
            return ((title, first), *others)
        names = [*first["fields"]]
        names.insert(names.index("enabled") + 1, "confirm_disabled")
        return ((title, {**first, "fields": tuple(names)}), *others)


admin.site.unregister([PeriodicTask, SolarSchedule, ClockedSchedule])
admin.site.register(PeriodicTask, ScheduleAdmin)
