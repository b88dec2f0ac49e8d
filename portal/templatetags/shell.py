"""Template tags for the frame around every page."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest

from portal.navigation import list_navigation

register = template.Library()


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of links for the user of the request."""
    request: HttpRequest = context["request"]
    return list_navigation(request)
