"""Views of what belongs to the service of the path."""

from __future__ import annotations

from typing import Any

from tenants.scoped_views import ScopedView

from ..services.catalogue import visible_service


class ServiceScopedView(ScopedView):
    """A view of rows of one service: 404 for a service that is not there, before anything else is looked at."""

    def get_queryset(self) -> Any:
        """The rows of the service of the path, if the scope shows it."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(service=visible_service(self.scope, self.kwargs["pk"]))

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope: some of what belongs to a service is not for everybody."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}
