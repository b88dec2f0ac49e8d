"""Whether an account's credentials are good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from openstack_client import AuthenticationFailed, CloudError, CloudUnavailable
from tasks.command import Done, Entity, Failed, Failure, Result, Wait, minutes, register, step
from tasks.dispatch import dispatch_task

from ..models import CloudAccount, SyncLog
from ..registry import UnknownProviderError, get_provider, list_synced_types
from ..text_sanitizer import sanitize_text
from .cloud import CloudCommand

LONGEST_MESSAGE = 4000


@register
@dataclass
class VerifyAccountCommand(CloudCommand):
    """Log in with an account's credentials and look around; the result stands on the account.

    Joined by whoever asks again while it runs: it tells from the account's version that the credentials have been
    changed since it looked, and looks again.
    """

    account_id: int
    # What is in the account is listed once its credentials have been found good.
    then_sync: bool = False

    kind: ClassVar[str] = "cloudaccounts.verify"
    title: ClassVar[str | Promise] = gettext_lazy("Verify cloud account")

    def locks(self) -> list[str]:
        """One verification of an account at a time, whatever else is done to it."""
        return [f"cloud-account-verify:{self.account_id}"]

    def entity(self) -> Entity:
        """The account."""
        name = CloudAccount.objects.values_list("name", flat=True).filter(pk=self.account_id).first()
        return Entity("cloud_account", str(self.account_id), name or "")

    @step(deadline=minutes(2), title=gettext_lazy("Log in to the cloud"))
    def log_in(self) -> Result:
        """Log in, and look at every region. Nothing is changed there, so it is safe to repeat."""
        account = CloudAccount.objects.filter(pk=self.account_id).first()
        if account is None:
            return Failed("gone", _("The account has been removed."))
        try:
            provider = get_provider(account)
        except UnknownProviderError:
            return Failed(
                "unknown_provider",
                _("The provider '%(provider)s' is not installed.") % {"provider": account.provider},
            )
        problem = None
        try:
            facts = provider.check(account)
        except provider.errors as error:
            problem = error
        if CloudAccount.objects.filter(pk=self.account_id).exclude(version=account.version).exists():
            return Wait(0.0, _("The account has been changed meanwhile; looking again."))
        if problem is not None:
            return self._refused(problem)
        self.data["facts"], self.data["version"] = facts, account.version
        return Done()

    def _refused(self, problem: Exception) -> Result:
        said = sanitize_text(str(problem), LONGEST_MESSAGE)
        # A cloud that is away is asked a few times: somebody waits for the answer.
        if isinstance(problem, CloudUnavailable) and self.tries < 3:
            return Wait(min(problem.retry_after or 2.0, 20.0), said)
        if isinstance(problem, AuthenticationFailed):
            said = _("The cloud does not accept the credentials: %(reason)s") % {"reason": said}
        return Failed(problem.code if isinstance(problem, CloudError) else "cloud_error", said)

    def on_success(self) -> None:
        """The account says that it is good, and what the cloud says of itself."""
        verified = CloudAccount.objects.filter(pk=self.account_id)
        verified.update(last_verified_at=timezone.now(), last_error="", facts=self.data["facts"])
        # Locked against removal until its logs are there.
        account = verified.filter(active=True).select_for_update(no_key=True).first()
        if self.then_sync and account is not None:
            opened = SyncLog.objects.open(
                self.account_id,
                list_synced_types(account),
                asked_by_id=self.job.created_by_id,
                language=self.job.language,
            )
            dispatch_task("cloudaccounts.sync_resource", *[[log_id] for log_id in opened])

    def on_failure(self, failure: Failure) -> None:
        """The account says what is wrong."""
        CloudAccount.objects.filter(pk=self.account_id).update(last_error=failure.message)
