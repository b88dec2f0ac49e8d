"""The template filter for messages that workers have stored."""

from __future__ import annotations

from django import template

from api import stored_messages

register = template.Library()


@register.filter
def translate_stored(text: str | None) -> str:
    """Return a stored message in the reader's language."""
    return stored_messages.translate_stored(text or "")
