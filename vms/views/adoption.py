"""Unmanaged resources over REST, and the adoption, the move and the release of VMs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.domain_errors import ConflictError
from api.idempotency import idempotent
from api.serializers import body_with_dry_run
from cloudaccounts.filters import SEARCH_FIELDS
from cloudaccounts.models import CloudAccount, CloudResource
from tasks.command_views import CommandView
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..filters import UnmanagedResourceFilter
from ..serializers import (
    AdoptionSerializer,
    AdoptRequestSerializer,
    MovedSerializer,
    MoveSerializer,
    ReleasedSerializer,
    ReleaseSerializer,
    UnmanagedResourceSerializer,
    build_adoption_request,
)
from ..services.adoption import AdoptionResult, adopt_resources
from ..services.adoption_checks import sum_needs
from ..services.moves import move_vm
from ..services.release import release_vm
from ..services.unmanaged import (
    find_attached_servers,
    get_adoptable_account,
    list_project_names,
    select_unmanaged,
)
from .vms import DRY_RUN, VmView


class UnmanagedResourceListView(ScopedView, ListAPIView[CloudResource]):
    """The servers and volumes of an account that the portal does not manage."""

    queryset = CloudResource.objects.all()
    serializer_class = UnmanagedResourceSerializer
    filterset_class = UnmanagedResourceFilter
    search_fields = SEARCH_FIELDS
    ordering_fields = ["name", "type", "status", "region", "first_seen_at", "last_seen_at"]
    ordering = ["type", "name"]

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the resources of an account that the caller may adopt from: the tenant's own; any account for staff."""
        if getattr(self, "swagger_fake_view", False):
            return CloudResource.objects.none()
        self.account = get_adoptable_account(self.scope, self.kwargs["pk"])
        return select_unmanaged(self.account)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a page of them, in a fixed number of queries."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {
            **self.get_serializer_context(),
            "project": next(iter(list_project_names(self.account)), ""),
            "attached_servers": find_attached_servers(page),
        }
        rows: Any = UnmanagedResourceSerializer(page, many=True, context=context)  # type: ignore[arg-type]
        return self.get_paginated_response(rows.data)


def render_adoption(adoption: AdoptionResult, *, dry_run: bool) -> dict[str, Any]:
    """Return the outcome of an adoption as JSON values."""
    accepted = adoption.accepted
    return dict(
        AdoptionSerializer(
            {
                "dry_run": dry_run,
                "adopted": len(accepted) if adoption.is_done or dry_run else 0,
                "refused": len(adoption.candidates) - len(accepted),
                "needs": sum_needs(accepted),
                "results": adoption.candidates,
            },
            context={"is_done": adoption.is_done},
        ).data
    )


class AdoptView(CommandView):
    """Adopt servers and volumes of an account."""

    queryset = CloudAccount.objects.all()
    serializer_class = AdoptionSerializer

    def require_access(self, role: Role) -> None:
        """Raise 404 for an account outside of the scope, and 403 for one whose resources the caller may not adopt."""
        get_adoptable_account(self.scope, self.kwargs["pk"])

    @extend_schema(
        parameters=[DRY_RUN],
        request=AdoptRequestSerializer,
        responses={200: AdoptionSerializer, 201: AdoptionSerializer},
    )
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Make VMs and volumes of an information system out of up to 500 servers and volumes: 201 when some were adopted.

        With `mode` `all` (the default) nothing is done unless every object can be adopted: 409 `not_all_valid`, with the results.
        With `valid`, those that can be are, and the others' refusals are in the results. The cloud is not changed.
        """
        params = self.validate_body(AdoptRequestSerializer(data=body_with_dry_run(request)), Role.ADMIN)
        adoption = adopt_resources(
            scope=self.scope,
            account_id=pk,
            request=build_adoption_request(params),
            mode=params["mode"],
            dry_run=params["dry_run"],
        )
        body = render_adoption(adoption, dry_run=params["dry_run"])
        if not adoption.is_done and not params["dry_run"]:
            raise ConflictError(
                "not_all_valid",
                _("Nothing was adopted: %(refused)s of %(count)s objects can't be.")
                % {"refused": body["refused"], "count": len(adoption.candidates)},
                results=body["results"],
            )
        return Response(body, status=201 if adoption.is_done and body["adopted"] else 200)


class VmMoveView(VmView):
    """Move a VM to another information system."""

    @extend_schema(parameters=[DRY_RUN], request=MoveSerializer, responses=MovedSerializer)
    def post(self, request: Request, pk: UUID) -> Response:
        """Move a VM with its volumes and snapshots to another system of its tenant, or of another tenant.

        The latter takes administrators of both tenants, or staff. The cloud is not changed.
        """

        def record() -> Response:
            params = self.validate_body(MoveSerializer(data=body_with_dry_run(request)), Role.OPERATOR)
            vm, is_moved = move_vm(
                scope=self.scope,
                vm_id=pk,
                system_id=params["information_system"],
                dry_run=params["dry_run"],
            )
            return Response({"changed": is_moved, "vm": self.render_vm(vm, {})})

        return self.run_command(request, record)


class VmReleaseView(VmView):
    """Release a VM from the portal."""

    @extend_schema(parameters=[DRY_RUN], request=ReleaseSerializer, responses=ReleasedSerializer)
    def post(self, request: Request, pk: UUID) -> Response:
        """Forget a VM and its volumes, and leave them in the cloud as they are. They can be adopted again."""

        def record() -> Response:
            params = self.validate_body(ReleaseSerializer(data=body_with_dry_run(request)), Role.ADMIN)
            result = release_vm(scope=self.scope, vm_id=pk, dry_run=params["dry_run"])
            data = {
                "released": not params["dry_run"],
                "id": pk,
                "name": result.vm.name,
                "openstack_id": result.vm.openstack_id,
                "volumes": [volume.volume_id for volume in result.volumes if volume.volume_id],
            }
            return Response(ReleasedSerializer(data).data)

        return self.run_command(request, record)
