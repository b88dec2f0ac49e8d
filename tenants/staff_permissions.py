"""Permission classes of views for staff."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from .scoping import require_staff_permission


class StaffPermission(BasePermission):
    """Admit only staff who have the Django permission that the view names.

    A view names a model as `staff_model = "app_label.model_name"`: reading requires its "view" permission, anything else
    its "change" permission. Other users who are signed in are refused with 403 `staff_only` or `permission_missing`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return False for an anonymous user, which becomes a 401. Raises `DomainError` for anybody else without access."""
        if not request.user.is_authenticated:
            return False
        label, _dot, name = view.staff_model.partition(".")
        action = "view" if request.method in SAFE_METHODS else "change"
        require_staff_permission(request.user, f"{label}.{action}_{name}")
        return True
