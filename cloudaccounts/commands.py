"""What every command that speaks to a cloud account shares."""

from __future__ import annotations

from openstack_client import CloudError, CloudUnavailable
from tasks.command import Command, Failed, Wait
from tasks.engine import back_off

from .encryption import UnreadableSecret


class CloudCommand(Command):
    """A command whose steps call a cloud account.

    The cloud's "no" fails the job with the cloud's own words; a cloud that is away is asked again, with back-off,
    until the step's deadline.
    """

    def translate(self, error: Exception) -> Wait | Failed | None:
        """What an error of the cloud means for the step."""
        if isinstance(error, CloudUnavailable):
            return Wait(error.retry_after or back_off(self.tries), str(error))
        if isinstance(error, CloudError):
            return Failed(error.code, str(error))
        if isinstance(error, UnreadableSecret):
            return Failed("unreadable_secret", str(error))
        return None
