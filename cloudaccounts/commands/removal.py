"""The end of an account, with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import PROTECT, ProtectedError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks.command import Command, Done, Entity, Failed, Refusal, Result, Wait, minutes, register, step

from ..models import CloudAccount, CloudResource, ResourceChange, ResourceLink, SyncLog, SyncLogLine

BATCH = 5000


@register
@dataclass
class RemoveAccountCommand(Command):
    """Remove an account: stop its syncs, forget what they found, then the account itself. Nothing is done in the cloud."""

    account_id: int

    kind: ClassVar[str] = "cloudaccounts.remove"
    title: ClassVar[str | Promise] = gettext_lazy("Remove cloud account")

    def locks(self) -> list[str]:
        """The account."""
        return [f"cloud-account:{self.account_id}"]

    def entity(self) -> Entity:
        """The account."""
        name = CloudAccount.objects.values_list("name", flat=True).filter(pk=self.account_id).first()
        return Entity("cloud_account", str(self.account_id), name or "")

    def validate(self) -> list[Refusal]:
        """What the portal manages in it must go first."""
        if not (used := count_references(self.account_id)):
            return []
        message = gettext_lazy(
            "Still in this account: %(what)s. Remove them first, or switch the account off."
        )
        return [Refusal("in_use", message % {"what": ", ".join(f"{what} ({count})" for what, count in used)})]

    @step(title=gettext_lazy("Switch it off"))
    def switch_off(self) -> Result:
        """No schedule, no new VM, no new sync; what runs is closed, and finds that out before its next page."""
        account = CloudAccount.objects.filter(pk=self.account_id).first()
        if account is not None:
            account.active = False
            account.save(
                update_fields=["active", "updated_at"]
            )  # Saved as a row: the signal disables its schedule.
        SyncLog.objects.filter(account=self.account_id).close(_("The account is being removed."))
        # Again, now that nothing new can come to it.
        refusals = self.validate()
        return Failed(refusals[0].code, str(refusals[0].message)) if refusals else Done()

    @step(deadline=minutes(30), title=gettext_lazy("Forget what was found in it"))
    def forget(self) -> Result:
        """Delete resources and logs, a batch at a time: no transaction grows with the account."""
        found = CloudResource.objects.filter(account=self.account_id).order_by("pk")
        while ids := list(found.values_list("pk", flat=True)[:BATCH]):
            with transaction.atomic():
                ResourceLink.objects.filter(source__in=ids).delete()
                ResourceChange.objects.filter(resource__in=ids).delete()
                CloudResource.objects.filter(pk__in=ids).delete()
        logs = SyncLog.objects.filter(account=self.account_id).order_by("pk")
        if logs.running().exists():  # Asked for by hand in the very moment.
            SyncLog.objects.filter(account=self.account_id).close(_("The account is being removed."))
            return Wait(0.2)
        while log_ids := list(logs.values_list("pk", flat=True)[:BATCH]):
            with transaction.atomic():
                SyncLogLine.objects.filter(log__in=log_ids).delete()
                SyncLog.objects.filter(pk__in=log_ids).delete()
        return Done()

    @step(title=gettext_lazy("Remove the account"))
    def remove(self) -> Result:
        """Delete the row; its schedule goes in the same transaction."""
        try:
            CloudAccount.objects.filter(pk=self.account_id).delete()
        except ProtectedError as error:
            return Failed(
                "in_use",
                _("%(count)s things still belong to it; remove them first.")
                % {"count": len(error.protected_objects)},
            )
        return Done()


def count_references(account_id: int) -> list[tuple[str, int]]:
    """What of other rooms is in an account and keeps it: its name for people, and how many."""
    used = []
    relations: list[Any] = CloudAccount._meta.get_fields(include_hidden=True)  # noqa: SLF001 - Django's documented API.
    for relation in relations:
        if getattr(relation, "on_delete", None) is PROTECT and relation.auto_created:
            model: Any = relation.related_model
            count = model.objects.filter(**{relation.field.name: account_id}).count()
            if count:
                used.append((str(model._meta.verbose_name_plural), count))  # noqa: SLF001
    return used
