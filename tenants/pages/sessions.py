"""The user's own sessions: in which browsers they are signed in, and the end of one or of all others."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.models import UserSession
from api.sessions import digest_session_key, end_other_sessions, end_session
from api.user_agents import read_user_agent
from pages.lists import read_list_query
from pages.panels import render_page

from ..models import User
from ..page_forms import Outcome, run_form
from ..scoped_pages import PageRequest, find_scope


@login_required
@never_cache
@require_GET
def session_page(request: PageRequest) -> HttpResponse:
    """List the user's sessions, the last used first. Keys are neither stored nor shown."""
    user = cast("User", request.user)
    current = digest_session_key(request.session.session_key)
    query = read_list_query(request)
    page = query.paginate(UserSession.objects.usable(user))
    rows = [
        {
            "session": session,
            "label": label_session(session),
            "is_current": session.key_digest == current,
        }
        for session in page.object_list
    ]
    context = {
        "scope": find_scope(request),
        "tab": "sessions",
        "page": page,
        "query": query,
        "rows": rows,
        "has_others": page.paginator.count > sum(row["is_current"] for row in rows),
    }
    return render_page(
        request, "tenants/sessions.html", context, panels={"sessions": "tenants/session_table.html"}
    )


def label_session(session: UserSession) -> str:
    """Return the browser and the system of a session in words: "Firefox on Linux"."""
    program = read_user_agent(session.user_agent)
    browser = program.browser or _("Unknown browser")
    if not program.system:
        return browser
    return _("%(browser)s on %(system)s") % {"browser": browser, "system": program.system}


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def end_session_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a session is to be ended; on POST, end it. The end of this session leads to the sign-in page."""
    session = get_object_or_404(UserSession.objects.usable(request.user), id=pk)
    label = label_session(session)

    def end() -> Outcome:
        if not end_session(request.user, pk):
            raise Http404
        return _("The session %(name)s was ended.") % {"name": label}, ""

    context = {
        "scope": find_scope(request),
        "title": _("End session"),
        "session": session,
        "label": label,
        "is_current": session.key_digest == digest_session_key(request.session.session_key),
    }
    return run_form(request, "tenants/session_end.html", context, end, list_page="session-page")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def end_other_sessions_page(request: PageRequest) -> HttpResponse:
    """Ask whether all other sessions are to be ended; on POST, end them."""

    def end() -> Outcome:
        count = end_other_sessions(request.user, request.session.session_key)
        message = ngettext("%(count)s session was ended.", "%(count)s sessions were ended.", count)
        return message % {"count": count}, ""

    context = {"scope": find_scope(request), "title": _("End other sessions")}
    return run_form(request, "tenants/session_end_others.html", context, end, list_page="session-page")
