"""The columns that a user has hidden in a table."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from api.domain_errors import InvalidFieldsError
from api.page_addresses import find_nearest_page, require_POST
from pages.panels import render_messages
from pages.tables import find_table

from ..scoped_pages import PageRequest
from ..services import hide_columns

MAX_SHOWN_LENGTH = 60


@login_required
@require_POST
def table_columns_page(request: PageRequest, table: str) -> HttpResponse:
    """Show the columns of a table that are sent in `shown` and hide the others, from now on and in each browser of the user."""
    known = find_table(table)
    if known is None:
        raise Http404
    shown = request.POST.getlist("shown")
    unknown = known.find_unknown(shown)
    if unknown is not None:
        message = _("The table has no column “%(column)s”. Reload the page and choose again.")
        raise InvalidFieldsError({"shown": [message % {"column": unknown[:MAX_SHOWN_LENGTH]}]})
    hidden = [name for name, _label in known.columns if name not in shown]
    hide_columns(user_id=request.user.pk, table=known.name, hidden=hidden)
    if request.htmx:
        return render_messages(request)
    address = request.POST.get("next", "")
    # "//host" and "/\host" begin like paths of this site, but lead to another one.
    is_own = url_has_allowed_host_and_scheme(address, None)
    return HttpResponseRedirect(find_nearest_page(address) if is_own else "/")
