"""What templates put into forms."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from api.form_keys import FIELD, new_form_key

register = template.Library()


@register.simple_tag
def form_key() -> SafeString:
    """Return the hidden field with a form's own key, by which it is carried out once however often it is sent."""
    return format_html('<input type="hidden" name="{}" value="{}">', FIELD, new_form_key())
