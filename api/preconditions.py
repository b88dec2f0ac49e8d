"""`ETag` and `If-Match`: nobody overwrites a change that they have not seen."""

from __future__ import annotations

import re
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from .domain_errors import InvalidError, OutdatedError

LONGEST_HEADER = 1000
# RFC 9110, 8.8.3: visible characters but the quotation mark, in quotes, with `W/` before a weak one.
_TAG = re.compile(r'[ \t]*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|\Z)')
# What proxies write into a tag when they compress an answer: Apache and Caddy `-gzip`, Jetty `--gzip`, others `;gzip`.
_COMPRESSED = re.compile(r"(?:--?|;|:)(?:gzip|br|zstd|deflate)\Z", re.IGNORECASE)


def etag_of(version: int | datetime) -> str:
    """Return the ETag of a row's version, or of its `updated_at` when it has none."""
    if isinstance(version, datetime):
        version = int(version.timestamp()) * 1_000_000 + version.microsecond
    return f'"{version}"'


def check_if_match(header: str | None, version: int | datetime) -> None:
    """Raise 412 `precondition_failed` unless the `If-Match` header allows this version; without a header all is allowed.

    Call it with the row locked, or the version may change between the check and the write.
    A tag that a proxy has made weak (`W/"3"`), or marked as that of a compressed answer (`"3-gzip"`), is ours all the
    same. RFC 9110 asks for the strong comparison, which those would never pass; but a version is no digest of bytes: it
    says which state of the row was read, and that is what is compared.
    Raises 400 `bad_if_match` for what is no list of tags.
    """
    if header is None or header.strip() == "*":
        return
    tags = read_tags(header)
    current = etag_of(version)
    if current.strip('"') not in tags:
        raise OutdatedError(
            "precondition_failed",
            _("Modified since you read it: the ETag is now %(etag)s, not %(sent)s. Read it again.")
            % {"etag": current, "sent": header[:100]},
            etag=current,
        )


def read_tags(header: str) -> set[str]:
    """Return the tags of an `If-Match` header without quotes, as the portal made them. Raises 400 `bad_if_match`."""
    tags: set[str] = set()
    position = 0
    if len(header) <= LONGEST_HEADER:
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
