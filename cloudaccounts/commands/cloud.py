"""What every command that speaks to a cloud account shares."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from openstack_client import CloudError, CloudUnavailable, last_request_id
from security.encryption import UnreadableSecretError
from tasks.command import Command, Failed, Wait
from tasks.engine import back_off
from tasks.polling import MISSING

# For how long, and in how many looks, nothing may move before a request that the cloud has accepted counts as lost in it.
LOST_AFTER = timedelta(seconds=45)
LOST_AFTER_LOOKS = 3
# How often a request that the cloud has lost is sent again.
ASKED_AGAIN_AT_MOST = 3


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
            return Failed(error.code, describe_refusal(error))
        if isinstance(error, UnreadableSecretError):
            return Failed(
                "unreadable_secret", _("The secret of the cloud account cannot be read; enter it again.")
            )
        return None

    def note_request(self) -> None:
        """Keep the cloud's id of the change that was just asked for, for people and for looking it up."""
        self.data["request_id"] = last_request_id()

    def is_stalled(self, *seen: object, after: timedelta | None = None) -> bool:
        """Whether looks at what was asked for have shown the same for so long that it counts as lost. Called at each look.

        By looks as well as by time: what was not seen while the cloud was away has not stood still.
        """
        sign, now = "/".join(map(str, seen)), timezone.now()
        kept = self.data.get("stood") or {}
        if kept.get("sign") != sign:
            kept = {"sign": sign, "since": now.isoformat(), "looks": 0}
        kept["looks"] += 1
        self.data["stood"] = kept
        limit = LOST_AFTER if after is None else after
        return bool(kept["looks"] >= LOST_AFTER_LOOKS and self.stalled_for() >= limit)

    def stalled_for(self) -> timedelta:
        """For how long looks have shown the same, by the last `is_stalled`."""
        return timezone.now() - datetime.fromisoformat(self.data["stood"]["since"])

    def can_retry_request(self) -> bool:
        """Whether what the cloud has lost may be asked for once more; counts it."""
        asked: int = self.data.get("asked_in_vain", 0)
        self.data["asked_in_vain"] = asked + 1
        return asked < ASKED_AGAIN_AT_MOST

    def lost(self, what: str) -> Failed:
        """The failure of a request that the cloud has accepted and lost; `what` says how that shows."""
        said = _("The cloud has accepted the request and lost it: %(what)s") % {"what": what}
        return Failed("lost_by_cloud", said + self.describe_request())

    def describe_request(self) -> str:
        """The cloud's id of the request, for its operators, after a sentence; "" when it is not known."""
        request_id = self.data.get("request_id")
        return " " + _("(Request %(id)s.)") % {"id": request_id} if request_id else ""

    def watched_name(self) -> str:
        """What people call the object that is waited for: what the job is about, unless a command says otherwise."""
        return self.entity().name

    def explain(self, status: str, fault: str) -> str:
        """What the cloud reports instead of what was waited for: of which object, why, and which request it was."""
        name = self.watched_name()
        if status == MISSING:
            said = _(
                "'%(name)s' is gone from the cloud: somebody has removed it there, or the cloud has given up on it."
            ) % {"name": name}
        elif fault:
            said = _("The cloud reports %(status)s: %(fault)s") % {"status": status, "fault": fault}
        else:
            said = _("The cloud reports %(status)s for '%(name)s', and no reason.")
            said = said % {"status": status, "name": name}
        return said + self.describe_request()


def describe_refusal(error: CloudError) -> str:
    """What to tell of a cloud's "no": our words, then the cloud's own."""
    return _("The cloud refuses: %(reason)s") % {"reason": error}
