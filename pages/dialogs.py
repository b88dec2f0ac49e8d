"""Forms that open in a dialog over a list, and have an address of their own.

A link with `data-dialog` opens the form of its address in the page's dialog (`<c-form-dialog>`); without the script, or in
another tab, it opens the same form as a page. A form that is refused is shown again in the dialog, with its errors; one
that was carried out redirects to the list, from which the script takes the messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

HEADER = "X-Dialog"


def render_dialog(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render a form for the page's dialog if its script asks for it, else as a page. `template` has a `<c-form>`."""
    if HEADER in request.headers:
        response = render(request, template, dict(context), status=status)
    else:
        page = {**context, "dialog_template": template}
        response = render(request, "pages/dialog_page.html", page, status=status)
    patch_vary_headers(response, [HEADER])
    return response
