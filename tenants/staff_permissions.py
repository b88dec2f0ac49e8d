"""Who may use a view at all."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from .scoping import require_staff_permission


class StaffPermission(BasePermission):
    """Only staff who have the Django permission that the view names.

    A view names a model as `staff_model = "app_label.model_name"`: reading takes its "view", all else its "change".
    Anybody else who is signed in is refused with 403 `staff_only` or `permission_missing`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises `DomainError`; False for who is not signed in, which becomes a 401."""
        if not request.user.is_authenticated:
            return False
        label, _dot, name = view.staff_model.partition(".")
        action = "view" if request.method in SAFE_METHODS else "change"
        require_staff_permission(request.user, f"{label}.{action}_{name}")
        return True
