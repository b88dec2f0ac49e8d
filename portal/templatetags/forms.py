"""Template tags for forms."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from api.form_keys import FIELD, new_form_key

register = template.Library()


@register.simple_tag
def form_key() -> SafeString:
    """Return a hidden field with a new form key, which prevents that a form is carried out twice."""
    return format_html('<input type="hidden" name="{}" value="{}">', FIELD, new_form_key())
