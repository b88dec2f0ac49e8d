"""Views of rows that belong to the service of the path."""

from __future__ import annotations

from typing import Any

from tenants.scoped_views import ScopedView

from ..services.catalogue import visible_service


class ServiceScopedView(ScopedView):
    """A view of one service's rows: 404 for an unknown service before any other check."""

    def get_queryset(self) -> Any:
        """The rows of the service of the path, if the scope shows it."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(service=visible_service(self.scope, self.kwargs["pk"]))

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope: some of what belongs to a service is not for everybody."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}
