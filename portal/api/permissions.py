"""Who may use a view at all."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from .scoping import require_staff


class IsStaff(BasePermission):
    """Only the portal's staff: anybody else who is signed in is refused with 403 `staff_only`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises `Refused`; False for who is not signed in, which becomes a 401."""
        if not request.user.is_authenticated:
            return False
        require_staff(request.user)
        return True
