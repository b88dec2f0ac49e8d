"""Rescue and rebuild over REST; migration and evacuation for staff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.serializers import StrictSerializer, body_with_dry_run
from tenants.scoping import Role, require_staff_permission

from ..serializers import (
    ControlResultSerializer,
    EvacuationSerializer,
    MigrationAbortSerializer,
    MigrationSerializer,
    RebuildSerializer,
    RescueSerializer,
    UnrescueSerializer,
)
from ..services import (
    ControlResult,
    abort_migration,
    control_vm,
    evacuate_vm,
    migrate_vm,
    rebuild_vm,
    rescue_vm,
)
from ..services.migration import STAFF_PERMISSION
from .vms import VmView

_RESPONSES = {200: ControlResultSerializer, 202: ControlResultSerializer}


class _RecoveryView(VmView):
    def run_service(
        self,
        request: Request,
        serializer: type[StrictSerializer],
        role: Role,
        service: Callable[..., ControlResult],
        **fixed: Any,
    ) -> Response:
        """Validate the body, and call the service with it."""

        def record() -> Response:
            params = self.validate_body(serializer(data=body_with_dry_run(request)), role)
            return self.control_response(
                service(scope=self.scope, vm_id=self.kwargs["pk"], **params, **fixed)
            )

        return self.run_command(request, record)


class VmRescueView(_RecoveryView):
    """Rescue a VM."""

    @extend_schema(request=RescueSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Boot the VM from a rescue image; its own disk is attached as a second one."""
        return self.run_service(request, RescueSerializer, Role.OPERATOR, rescue_vm)


class VmUnrescueView(_RecoveryView):
    """End the rescue of a VM."""

    @extend_schema(request=UnrescueSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Boot the VM from its own disk again; it runs afterwards."""
        return self.run_service(request, UnrescueSerializer, Role.OPERATOR, control_vm, action="unrescue")


class VmRebuildView(_RecoveryView):
    """Rebuild a VM."""

    @extend_schema(request=RebuildSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Write the VM's root disk anew from an image. What is on the disk is lost; addresses and other volumes stay."""
        return self.run_service(request, RebuildSerializer, Role.ADMIN, rebuild_vm)


class _StaffView(_RecoveryView):
    """A view of an action on a VM's host, which staff alone may request."""

    may_be_held_back = False

    def require_access(self, role: Role) -> None:
        """Require staff too, before the errors of a body are told."""
        super().require_access(role)
        require_staff_permission(self.scope.user, STAFF_PERMISSION)


class VmMigrateView(_StaffView):
    """Move a VM to another host, for staff."""

    @extend_schema(request=MigrationSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Move the VM to another host: `live` without stopping it, `cold` with a stop. Staff alone."""
        return self.run_service(request, MigrationSerializer, Role.OPERATOR, migrate_vm)


class VmAbortMigrationView(_StaffView):
    """Abort the live migration of a VM, for staff."""

    @extend_schema(request=MigrationAbortSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Abort the live migration that is under way; the VM stays on its host. Staff alone."""
        return self.run_service(request, MigrationAbortSerializer, Role.OPERATOR, abort_migration)


class VmEvacuateView(_StaffView):
    """Evacuate a VM from a dead host, for staff."""

    @extend_schema(request=EvacuationSerializer, responses=_RESPONSES)
    def post(self, request: Request, pk: UUID) -> Response:
        """Build the VM anew on another host, because its own is down. Staff alone."""
        return self.run_service(request, EvacuationSerializer, Role.OPERATOR, evacuate_vm)
