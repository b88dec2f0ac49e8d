"""The command that deletes an account with everything that was synced from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import PROTECT, ProtectedError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages, to_message
from api.messages import message as _
from tasks.command import Command, Done, Entity, Failed, Refusal, Result, Wait, minutes, register, step

from ..models import CloudAccount, CloudResource, ResourceChange, ResourceLink, SyncLog, SyncLogLine

BATCH_SIZE = 5000


@register
@dataclass
class RemoveAccountCommand(Command):
    """Delete an account: stop its syncs, delete what they found, then the account. Nothing is done in the cloud."""

    account_id: int

    kind: ClassVar[str] = "cloudaccounts.remove"
    title: ClassVar[str | Promise] = gettext_lazy("Delete cloud account")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "switch_off": "disable_account",
        "forget": "delete_synced_rows",
        "remove": "delete_account",
    }

    def locks(self) -> list[str]:
        """Lock the account."""
        return [f"cloud-account:{self.account_id}"]

    def entity(self) -> Entity:
        """Return the account as the entity of the job."""
        name = CloudAccount.objects.values_list("name", flat=True).filter(pk=self.account_id).first()
        return Entity("cloud_account", str(self.account_id), name or "")

    def validate(self) -> list[Refusal]:
        """Refuse an account in which the portal still manages resources."""
        if not (references := count_references(self.account_id)):
            return []
        message = _(
            "Can't delete the account: still managed here are %(what)s. Delete them first, or disable the account."
        )
        return [
            Refusal(
                "in_use",
                message
                % {"what": join_messages((join_messages([what, f"({n})"]) for what, n in references), ", ")},
            )
        ]

    @step(title=gettext_lazy("Disable account"))
    def disable_account(self) -> Result:
        """Disable the account and close its running syncs, which stop before their next page."""
        account = CloudAccount.objects.filter(pk=self.account_id).first()
        if account is not None:
            account.active = False
            # `save`, not `update`: its signal disables the schedule.
            account.save(update_fields=["active", "updated_at"])
        SyncLog.objects.filter(account=self.account_id).close(_("The account is being deleted."))
        # Checked again, now that nothing new can be created in it.
        refusals = self.validate()
        return Failed(refusals[0].code, to_message(refusals[0].message)) if refusals else Done()

    @step(deadline=minutes(30), title=gettext_lazy("Delete synced resources"))
    def delete_synced_rows(self) -> Result:
        """Delete resources and logs in batches, so that no transaction grows with the account."""
        resources = CloudResource.objects.filter(account=self.account_id).order_by("pk")
        while ids := list(resources.values_list("pk", flat=True)[:BATCH_SIZE]):
            with transaction.atomic():
                ResourceLink.objects.filter(source__in=ids).delete()
                ResourceChange.objects.filter(resource__in=ids).delete()
                CloudResource.objects.filter(pk__in=ids).delete()
        logs = SyncLog.objects.filter(account=self.account_id).order_by("pk")
        if logs.running().exists():  # A sync was requested by hand in the meantime.
            SyncLog.objects.filter(account=self.account_id).close(_("The account is being deleted."))
            return Wait(0.2)
        while log_ids := list(logs.values_list("pk", flat=True)[:BATCH_SIZE]):
            with transaction.atomic():
                SyncLogLine.objects.filter(log__in=log_ids).delete()
                SyncLog.objects.filter(pk__in=log_ids).delete()
        return Done()

    @step(title=gettext_lazy("Delete account"))
    def delete_account(self) -> Result:
        """Delete the row, with its schedule in the same transaction."""
        try:
            CloudAccount.objects.filter(pk=self.account_id).delete()
        except ProtectedError as error:
            return Failed(
                "in_use",
                _("%(count)s resources still belong to the account. Delete them first.")
                % {"count": len(error.protected_objects)},
            )
        return Done()


def count_references(account_id: int) -> list[tuple[str | Promise, int]]:
    """Count the rows that protect an account from deletion, by the verbose name of their model."""
    references: list[tuple[str | Promise, int]] = []
    relations: list[Any] = CloudAccount._meta.get_fields(include_hidden=True)  # noqa: SLF001 - Django's documented API.
    for relation in relations:
        if getattr(relation, "on_delete", None) is PROTECT and relation.auto_created:
            model: Any = relation.related_model
            count = model.objects.filter(**{relation.field.name: account_id}).count()
            if count:
                references.append((model._meta.verbose_name_plural, count))  # noqa: SLF001
    return references
