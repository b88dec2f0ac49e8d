"""The command that verifies the credentials of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import limit_message, map_texts
from api.messages import message as _
from openstack_client import CloudAuthenticationError, CloudError, CloudUnavailableError
from openstack_client.decoding import clean_text
from tasks.command import Done, Entity, Failed, Failure, Result, Wait, minutes, register, step
from tasks.dispatch import dispatch_task

from ..models import CloudAccount, SyncLog
from ..registry import UnknownProviderError, get_provider, list_synced_types
from .cloud import CloudCommand

MAX_MESSAGE_LENGTH = 4000


@register
@dataclass
class VerifyAccountCommand(CloudCommand):
    """Log in with an account's credentials and read its regions; write the result to the account.

    A second request while this job runs joins it. The job starts again when the account's version shows that the account
    was changed in the meantime.
    """

    account_id: int
    # Sync the account after a successful verification.
    then_sync: bool = False

    kind: ClassVar[str] = "cloudaccounts.verify"
    title: ClassVar[str | Promise] = gettext_lazy("Test connection of cloud account")

    def locks(self) -> list[str]:
        """Lock the verification of the account, and nothing else of it."""
        return [f"cloud-account-verify:{self.account_id}"]

    def entity(self) -> Entity:
        """Return the account as the entity of the job."""
        name = CloudAccount.objects.values_list("name", flat=True).filter(pk=self.account_id).first()
        return Entity("cloud_account", str(self.account_id), name or "")

    @step(deadline=minutes(2), title=gettext_lazy("Sign in to cloud"))
    def log_in(self) -> Result:
        """Log in and read every region. Nothing is changed in the cloud, so it is safe to repeat."""
        account = CloudAccount.objects.filter(pk=self.account_id).first()
        if account is None:
            return Failed("gone", _("The account was deleted."))
        try:
            provider = get_provider(account)
        except UnknownProviderError:
            return Failed(
                "unknown_provider",
                _("The provider '%(provider)s' is not installed.") % {"provider": account.provider},
            )
        problem = None
        try:
            facts = provider.verify(account)
        except provider.errors as error:
            problem = error
        if CloudAccount.objects.filter(pk=self.account_id).exclude(version=account.version).exists():
            return Wait(0.0, _("The account was changed in the meantime. Verifying again."))
        if problem is not None:
            return self._translate_problem(problem)
        self.data["facts"], self.data["version"] = facts, account.version
        return Done()

    def _translate_problem(self, problem: Exception) -> Result:
        message = limit_message(map_texts(str(problem), clean_text), MAX_MESSAGE_LENGTH)
        # Only a few attempts at an unavailable cloud: a person waits for the result.
        if isinstance(problem, CloudUnavailableError) and self.tries < 3:
            return Wait(min(problem.retry_after or 2.0, 20.0), message)
        if isinstance(problem, CloudAuthenticationError):
            message = _("Sign-in to the cloud failed: %(reason)s") % {"reason": message}
        return Failed(problem.code if isinstance(problem, CloudError) else "cloud_error", message)

    def on_success(self) -> None:
        """Mark the account as verified, store the facts, and start its syncs if they were requested."""
        verified = CloudAccount.objects.filter(pk=self.account_id)
        verified.update(
            last_verified_at=timezone.now(), last_error="", sign_in_failed_at=None, facts=self.data["facts"]
        )
        # Locked against deletion until its logs are written.
        account = verified.filter(active=True).select_for_update(no_key=True).first()
        if self.then_sync and account is not None:
            opened = SyncLog.objects.open(
                self.account_id,
                list_synced_types(account),
                asked_by_id=self.job.created_by_id,
            )
            dispatch_task("cloudaccounts.sync_resource", *[[log_id] for log_id in opened])

    def on_failure(self, failure: Failure) -> None:
        """Store the error on the account."""
        is_refused = failure.code == CloudAuthenticationError.code
        CloudAccount.objects.filter(pk=self.account_id).update(
            last_error=failure.message, sign_in_failed_at=timezone.now() if is_refused else None
        )
