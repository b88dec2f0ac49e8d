"""`ETag` and `If-Match`: nobody overwrites a change that he has not seen."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from .errors import Refused


def etag_of(version: int | datetime) -> str:
    """The ETag of a row with this version; for a row without one, its `updated_at` in microseconds serves."""
    if isinstance(version, datetime):
        version = int(version.timestamp()) * 1_000_000 + version.microsecond
    return f'"{version}"'


def check_if_match(header: str | None, version: int | datetime) -> None:
    """Raise 412 `precondition_failed` unless the `If-Match` header allows this version; without a header all is allowed.

    Call it with the row locked, or the version may change between the check and the write.
    A weak tag (`W/"3"`) never matches: RFC 9110 asks for the strong comparison here.
    """
    if header is None or header.strip() == "*":
        return
    current = etag_of(version)
    if current not in {tag.strip() for tag in header.split(",")}:
        raise Refused(
            412,
            "precondition_failed",
            _("It has changed since you read it: its ETag is now %(etag)s, not %(sent)s. Read it again.")
            % {"etag": current, "sent": header[:100]},
            etag=current,
        )
