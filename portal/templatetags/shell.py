"""Template tags for the frame around every page."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest
from django.urls import reverse

from portal.navigation import find_current, list_navigation

register = template.Library()


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of links for the user of the request."""
    request: HttpRequest = context["request"]
    return list_navigation(request)


@register.simple_tag(takes_context=True)
def current_list_page(context: dict[str, Any]) -> str:
    """Return the address of the list that the page belongs to, where a user stays who selects another tenant."""
    request: HttpRequest = context["request"]
    link = find_current(request.path)
    return reverse(link.url_name) if link is not None else reverse("home")
