"""What every command that speaks to a cloud account shares."""

from __future__ import annotations

from django.utils.translation import gettext as _

from openstack_client import CloudError, CloudUnavailable
from security.encryption import UnreadableSecret
from tasks.command import Command, Failed, Wait
from tasks.engine import back_off


class CloudCommand(Command):
    """A command whose steps call a cloud account.

    The cloud's "no" fails the job with the cloud's own words; a cloud that is away is asked again, with back-off,
    until the step's deadline.
    """

    def translate(self, error: Exception) -> Wait | Failed | None:
        """What an error of the cloud means for the step."""
        if isinstance(error, CloudUnavailable):
            return Wait(
                error.retry_after or back_off(self.tries),
                _("The cloud does not answer: %(reason)s") % {"reason": error},
            )
        if isinstance(error, CloudError):
            return Failed(error.code, refused_by_cloud(error))
        if isinstance(error, UnreadableSecret):
            return Failed(
                "unreadable_secret", _("The secret of the cloud account cannot be read; enter it again.")
            )
        return None


def refused_by_cloud(error: CloudError) -> str:
    """What to tell of a cloud's "no": our words, then the cloud's own."""
    return _("The cloud refuses: %(reason)s") % {"reason": error}
