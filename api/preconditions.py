"""`ETag` and `If-Match`, so that nobody overwrites a change that they have not read."""

from __future__ import annotations

import re
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from .domain_errors import InvalidError, OutdatedError

MAX_HEADER_LENGTH = 1000
# RFC 9110, 8.8.3: visible characters without the quotation mark, in quotes, after `W/` for a weak tag.
_TAG = re.compile(r'[ \t]*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|\Z)')
# Suffixes that proxies add to a tag when they compress a response: Apache and Caddy `-gzip`, Jetty `--gzip`, others `;gzip`.
_COMPRESSED = re.compile(r"(?:--?|;|:)(?:gzip|br|zstd|deflate)\Z", re.IGNORECASE)


def etag_of(version: int | datetime) -> str:
    """Return the ETag of a row's version, or of its `updated_at` when it has none."""
    if isinstance(version, datetime):
        version = int(version.timestamp()) * 1_000_000 + version.microsecond
    return f'"{version}"'


def check_if_match(header: str | None, version: int | datetime) -> None:
    """Raise 412 `precondition_failed` unless the `If-Match` header allows this version; without a header any is allowed.

    Call it with the row locked, or the version may change between the check and the write.
    Tags that a proxy has made weak (`W/"3"`) or marked as compressed (`"3-gzip"`) match too. RFC 9110 requires the strong
    comparison, which they would never pass; but a version is no digest of bytes: it identifies the state of the row that was
    read.
    Raises 400 `bad_if_match` for an invalid list of tags.
    """
    if header is None or header.strip() == "*":
        return
    tags = parse_tags(header)
    current = etag_of(version)
    if current.strip('"') not in tags:
        raise OutdatedError(
            "precondition_failed",
            _("Modified since you read it: the ETag is now %(etag)s, not %(sent)s. Read it again.")
            % {"etag": current, "sent": header[:100]},
            etag=current,
        )


def parse_tags(header: str) -> set[str]:
    """Return the tags of an `If-Match` header as the portal wrote them, without quotes. Raises 400 `bad_if_match`."""
    tags: set[str] = set()
    position = 0
    if len(header) <= MAX_HEADER_LENGTH:
        while position < len(header) and (match := _TAG.match(header, position)):
            if match[1] is not None:
                tags.add(_COMPRESSED.sub("", match[1]))
            position = match.end()
    if not tags or position < len(header):
        raise InvalidError(
            "bad_if_match",
            _('If-Match must be * or a list of ETags in double quotes, such as "3".'),
        )
    return tags
