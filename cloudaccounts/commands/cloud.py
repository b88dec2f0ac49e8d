"""The base class of commands that call a cloud account."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from api.messages import message as _
from openstack_client import CloudChangedError, CloudError, CloudUnavailableError, last_request_id
from security.encryption import UnreadableSecretError
from tasks.command import Command, Failed, Wait
from tasks.engine import back_off
from tasks.polling import MISSING

# An accepted request counts as lost when nothing has changed for this time and in this many polls.
LOST_AFTER = timedelta(seconds=45)
LOST_AFTER_POLLS = 3
# The number of times that a request that the cloud has lost is sent again.
MAX_RESENDS = 3


class CloudCommand(Command):
    """A command whose steps call a cloud account.

    A refusal by the cloud fails the job with the cloud's own message. A request to an unavailable cloud is repeated with
    back-off until the step's deadline, and so is one about an object that others change at the same moment.
    """

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error of the cloud into the result of the step; return None for any other error."""
        if isinstance(error, CloudUnavailableError):
            return Wait(
                error.retry_after or back_off(self.tries),
                _("The cloud is unavailable: %(reason)s") % {"reason": error},
            )
        if isinstance(error, CloudChangedError):
            # Others have changed the object between the step's reading and its request: the step reads it anew.
            return Wait(
                back_off(self.tries, first=0.2),
                _("It was changed in the cloud at the same moment. Trying again."),
            )
        if isinstance(error, CloudError):
            return Failed(error.code, describe_refusal(error))
        if isinstance(error, UnreadableSecretError):
            return Failed(
                "unreadable_secret", _("The secret of the cloud account can't be decrypted. Enter it again.")
            )
        return None

    def record_request_id(self) -> None:
        """Store the cloud's id of the request that was just sent, so that the cloud's operators can look it up."""
        self.data["request_id"] = last_request_id()

    def is_stalled(self, *observed: object, after: timedelta | None = None) -> bool:
        """Return whether polls have shown the same for so long that the request counts as lost. Call it at each poll.

        Counted in polls as well as in time: an object that was not polled while the cloud was unavailable has not stalled.
        """
        observation, now = "/".join(map(str, observed)), timezone.now()
        stall = self.data.get("stood") or {}
        if stall.get("sign") != observation:
            stall = {"sign": observation, "since": now.isoformat(), "looks": 0}
        stall["looks"] += 1
        self.data["stood"] = stall
        limit = LOST_AFTER if after is None else after
        return bool(stall["looks"] >= LOST_AFTER_POLLS and self.stall_duration() >= limit)

    def stall_duration(self) -> timedelta:
        """Return the time for which polls have shown the same, by the last call of `is_stalled`."""
        return timezone.now() - datetime.fromisoformat(self.data["stood"]["since"])

    def can_retry_request(self) -> bool:
        """Return whether a lost request may be sent once more, and count the resend."""
        resends: int = self.data.get("asked_in_vain", 0)
        self.data["asked_in_vain"] = resends + 1
        return resends < MAX_RESENDS

    def build_lost_failure(self, what: str) -> Failed:
        """Build the failure of a request that the cloud accepted and lost; `what` is a clause about what polls show instead."""
        message = _("The cloud accepted the request, then lost it: %(what)s") % {"what": what}
        return Failed("lost_by_cloud", message + self.describe_request())

    def describe_request(self) -> str:
        """Return the cloud's request id in parentheses, to follow a sentence; "" when it is unknown."""
        request_id = self.data.get("request_id")
        return " " + _("(Request %(id)s.)") % {"id": request_id} if request_id else ""

    def watched_name(self) -> str:
        """Return the name of the object that is polled: the entity's, unless a command overrides it."""
        return self.entity().name

    def explain(self, status: str, fault: str) -> str:
        """Return why a poll failed: the object, the status or fault that the cloud reports, and the request id."""
        name = self.watched_name()
        if status == MISSING:
            message = _(
                "'%(name)s' is gone from the cloud. It was deleted there, or the cloud gave up creating it."
            ) % {"name": name}
        elif fault:
            message = _("The cloud reports %(status)s: %(fault)s") % {"status": status, "fault": fault}
        else:
            message = _("The cloud reports %(status)s for '%(name)s' without a reason.") % {
                "status": status,
                "name": name,
            }
        return message + self.describe_request()


def describe_refusal(error: CloudError) -> str:
    """Return a message about a refused request, with the cloud's own message."""
    return _("The cloud refused the request: %(reason)s") % {"reason": error}
