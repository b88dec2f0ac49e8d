"""The tags of heroicons, which render each icon once.

A page has about forty icons, and heroicons copies and writes the XML of each anew, which takes longer than the queries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from django import template
from heroicons.templatetags import heroicons

register = template.Library()


def _register(name: str, render: Callable[..., str]) -> None:
    # Names and sizes come from templates alone, so there are few.
    cached = lru_cache(maxsize=512)(render)

    def render_icon(name: str, **attributes: object) -> str:
        return cached(name, **attributes)

    register.simple_tag(render_icon, name=name)


for style in ("micro", "mini", "outline", "solid"):
    _register(f"heroicon_{style}", getattr(heroicons, f"heroicon_{style}"))
