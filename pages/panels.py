"""Pages with panels that refresh themselves.

The page's script asks for a panel by the page's own address with the header `X-Panel`, so a panel has the filters and the
scope of its page and needs no address of its own. The answer has an ETag: when nothing has changed, nothing is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.http import quote_etag

HEADER = "X-Panel"
_TOKENS = re.compile(rb'name="(?:csrfmiddlewaretoken|form_key)" value="[^"]*"')


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    panels: Mapping[str, str],
    status: int = 200,
) -> HttpResponse:
    """Render a page, or one of its panels if the page's script asks for it.

    `panels` maps the name of a panel to the template that renders it, which the page includes, too. CSRF tokens and form keys
    differ at each rendering and do not count as a change. Anything else that differs would be sent each time.
    """
    wanted = panels.get(request.headers.get(HEADER, ""))
    if wanted is None:
        response = render(request, template, dict(context), status=status)
    else:
        content = render_to_string(wanted, dict(context), request).encode()
        etag = quote_etag(blake2b(_TOKENS.sub(b"", content), digest_size=16).hexdigest())
        if request.headers.get("If-None-Match") == etag:
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(content)
        response["ETag"] = etag
    patch_vary_headers(response, [HEADER])
    return response


def is_panel_request(request: HttpRequest) -> bool:
    """Return whether the page's script asks for a panel, so that what the rest of the page needs can be left out."""
    return HEADER in request.headers


def render_messages(request: HttpRequest) -> HttpResponse:
    """Answer a form that was carried out without leaving the page: the messages that the view has added."""
    return render(request, "pages/messages.html", {"messages": get_messages(request)})
