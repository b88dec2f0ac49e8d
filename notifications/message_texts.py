"""The texts of messages about events, in the language and the time zone of those who are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from django.conf import settings
from django.urls import reverse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from api.uuids import is_uuid
from events.labels import label_event
from events.models import Event
from tenants.models import Tenant

from .single_lines import to_line

# So many events are listed in a message; of further ones it tells the number.
LISTED_EVENTS = 20
MAX_TITLE_LENGTH = 150


@dataclass(frozen=True, slots=True)
class MessageText:
    """A message: one line as its title or subject, and a plain text."""

    title: str
    body: str


def write_message(
    tenant: Tenant, events: Sequence[Event], total: int, *, language: str, zone: tzinfo
) -> MessageText:
    """Write the message about events, of which there are `total`. Names in it are one line each, whatever they contain."""
    with translation.override(language or settings.LANGUAGE_CODE), timezone.override(zone):
        if total == 1:
            title = _join_names(_describe(events[0]))
        else:
            title = ngettext("%(count)s event", "%(count)s events", total) % {"count": total}
        lines = [_write_line(event) for event in events[:LISTED_EVENTS]]
        if total > len(lines):
            more = total - len(lines)
            lines.append(ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more})
        lines += ["", _("Tenant: %(tenant)s") % {"tenant": to_line(tenant.name)}]
        if settings.PORTAL_URL:
            address = settings.PORTAL_URL.rstrip("/") + reverse("subscription-page")
            lines.append(_("Change which messages you get: %(address)s") % {"address": address})
        return MessageText(f"[{to_line(tenant.name)}] {title}"[:MAX_TITLE_LENGTH], "\n".join(lines))


def write_test(tenant: Tenant, *, language: str) -> MessageText:
    """Write the message that tells that messages arrive."""
    with translation.override(language or settings.LANGUAGE_CODE):
        title = f"[{to_line(tenant.name)}] " + _("Test message")
        return MessageText(title[:MAX_TITLE_LENGTH], _("Messages of the portal arrive here."))


def _describe(event: Event) -> tuple[str, str]:
    return str(label_event(event)), to_line(event.object_name)


def _join_names(names: tuple[str, str]) -> str:
    return " · ".join(name for name in names if name)


def _write_line(event: Event) -> str:
    at = formats.date_format(timezone.localtime(event.at), "Y-m-d H:i T")
    actor = to_line(event.actor_name) or _("System")
    line = f"{at}  {_join_names(_describe(event))}  ({actor})"
    if settings.PORTAL_URL and (page := _find_page(event)):
        line += f"\n  {settings.PORTAL_URL.rstrip('/')}{page}"
    return line


def _find_page(event: Event) -> str:
    """Return the page of what an event is about: its task or its request; "" for other events."""
    task = event.parameters.get("task")
    if isinstance(task, str) and is_uuid(task):
        return reverse("job-page", args=[task])
    if event.object_type == "approval" and is_uuid(event.object_id):
        return reverse("request-detail-page", args=[event.object_id])
    return ""
