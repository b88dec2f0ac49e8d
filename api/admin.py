"""API tokens in the admin, to view and revoke. The token itself is stored nowhere."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    """The tokens of all users. None can be created here, because only its owner may see it."""

    list_display = ["name", "user", "created", "last_used_at", "expiry", "usable"]
    list_filter = ["created", "last_used_at", "expiry"]
    search_fields = ["name", "user__username"]
    list_select_related = ["user"]
    fields = ["name", "user", "created", "last_used_at", "expiry", "usable"]
    actions = ["revoke"]
    show_full_result_count = False

    @admin.display(description=_("usable"), boolean=True)
    def usable(self, token: ApiToken) -> bool:
        """Return whether the token is accepted now."""
        return token.is_usable

    @admin.action(description=_("Revoke the selected tokens"), permissions=["delete"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        """Delete the tokens; they are refused from the next request on."""
        count = tokens.count()
        self.log_deletions(request, tokens)
        tokens.delete()
        self.message_user(request, _("%(count)s tokens were revoked.") % {"count": count})

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions without Django's deletion: to delete a token is to revoke it."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
