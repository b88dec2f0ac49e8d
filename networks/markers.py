"""Markers: how an object in a cloud names the row that the portal has created it for, and the installation of that row.

Servers and volumes carry `settings.CLOUD_TAG` besides. Objects of Neutron and server groups have one marker alone, so the tag
is part of it, unless it is the default one: `portal-security-group:<row>` or `portal-security-group:staging:<row>`. The form is
that of `openstack_client/markers.py`.
"""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from django.conf import settings

DEFAULT_TAG = "portal"
# A marker has at most 60 characters after its first colon, 36 of which are the row's id.
_SHORT_TAG = re.compile(r"[A-Za-z0-9_.\-]{1,23}")


def build_marker(lock_name: str, row_id: UUID | str) -> str:
    """Return the marker of the object of a row of this installation."""
    return f"{_build_prefix(lock_name)}{row_id}"


def read_row_id(lock_name: str, marker: str | None) -> str | None:
    """Return the id of the row that an object was created for; None for an object that this installation has not created."""
    prefix = _build_prefix(lock_name)
    if not marker or not marker.startswith(prefix):
        return None
    try:
        return str(UUID(marker.removeprefix(prefix)))
    except ValueError:  # That of another installation, or of nobody.
        return None


def _build_prefix(lock_name: str) -> str:
    tag = settings.CLOUD_TAG
    if tag == DEFAULT_TAG:
        return f"portal-{lock_name}:"
    if not _SHORT_TAG.fullmatch(tag):
        tag = hashlib.sha256(tag.encode()).hexdigest()[:20]
    return f"portal-{lock_name}:{tag}:"
