"""Send a message by mail, or to the robot of a chat."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from .chat_robots import Robot
from .message_texts import MessageText
from .single_lines import to_line


class UndeliverableError(Exception):
    """A message could not be sent. The text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes: addresses of mail, or the robot of a chat."""

    mail: tuple[str, ...] = ()
    robot: Robot | None = None

    def send(self, message: MessageText) -> str:
        """Send a message; return what went wrong for some of the recipients, "" for nothing.

        Raises `UndeliverableError` when nobody got it. Runs in a thread without a database.
        """
        if self.robot is not None:
            if error := self.robot.send(message):
                raise UndeliverableError(error)
            return ""
        return _send_mail(self.mail, message)


def _send_mail(addresses: Sequence[str], message: MessageText) -> str:
    """Send one mail to each address, so that recipients do not see each other, and one that is refused stops no other."""
    if not settings.EMAIL_HOST:
        raise UndeliverableError("EMAIL_HOST is not set, so the portal sends no mail.")
    errors: list[str] = []
    try:
        with get_connection(fail_silently=False) as connection:
            for address in addresses:
                mail = EmailMessage(message.title, message.body, to=[address], connection=connection)
                try:
                    mail.send()
                except smtplib.SMTPRecipientsRefused as refused:
                    reasons = (
                        f"{code} {text.decode(errors='replace')}"
                        for code, text in refused.recipients.values()
                    )
                    errors.append(f"{address}: {', '.join(reasons)}")
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise UndeliverableError(to_line(f"{settings.EMAIL_HOST}: {error}")) from error
    if len(errors) == len(addresses):
        raise UndeliverableError(to_line("; ".join(errors)))
    return to_line("; ".join(errors))
