"""`ETag` and `If-Match`: nobody overwrites a change that he has not seen."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .errors import Refused


def etag_of(version: int) -> str:
    """The ETag of a row with this version."""
    return f'"{version}"'


def check_if_match(header: str | None, version: int) -> None:
    """Raise 412 `precondition_failed` unless the `If-Match` header allows this version.

    Call it with the row locked, or the version may change between the check and the write.
    """
    if header is None or header.strip() == "*":
        return
    if etag_of(version) not in {tag.strip() for tag in header.split(",")}:
        raise Refused(
            412,
            "precondition_failed",
            _("It has changed since you read it (its version is now %(version)s); read it again.") % {"version": version},
        )
