"""The base view of objects that belong to the service of the path."""

from __future__ import annotations

from typing import Any

from tenants.scoped_views import ScopedView

from ..services.catalogue import visible_service


class ServiceScopedView(ScopedView):
    """A view of a service's objects: 404 for an unknown service before any other check."""

    def get_queryset(self) -> Any:
        """Return the objects of the service of the path. Raises 404 when the scope does not show the service."""
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset
        return queryset.filter(service=visible_service(self.scope, self.kwargs["pk"]))

    def get_serializer_context(self) -> dict[str, Any]:
        """Return the context with the scope, because some fields depend on the caller's role."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}
