"""Actions on VMs and resizes over REST."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.domain_errors import ConflictError
from api.idempotency import idempotent
from api.serializers import body_with_dry_run
from tasks.command_views import CommandView
from tenants.scoping import Role

from ..serializers import (
    ActionSerializer,
    BulkActionSerializer,
    BulkControlResultSerializer,
    ControlResultSerializer,
    ResizeRequestSerializer,
    RestoreSerializer,
)
from ..services import control_many, control_vm, resize_vm, restore_vm
from .vms import DRY_RUN, VMS, VmView


class VmActionsView(VmView):
    """Request an action on a VM: one of its `allowed_actions`."""

    @extend_schema(
        parameters=[DRY_RUN],
        request=ActionSerializer,
        responses={200: ControlResultSerializer, 202: ControlResultSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Request an action on a VM; 202 with the job, or 200 when there is nothing to do."""

        def record() -> Response:
            params = self.validate_body(ActionSerializer(data=body_with_dry_run(request)), Role.OPERATOR)
            return self.control_response(control_vm(scope=self.scope, vm_id=pk, **params))

        return self.run_command(request, record)


class VmResizeView(VmView):
    """Resize a VM."""

    @extend_schema(
        request=ResizeRequestSerializer,
        responses={200: ControlResultSerializer, 202: ControlResultSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Resize a VM to the smallest flavor that fits; then confirm or revert it by an action."""

        def record() -> Response:
            params = self.validate_body(ResizeRequestSerializer(data=body_with_dry_run(request)), Role.ADMIN)
            return self.control_response(resize_vm(scope=self.scope, vm_id=pk, **params))

        return self.run_command(request, record)


class VmRestoreView(VmView):
    """Restore a VM from the bin."""

    @extend_schema(request=RestoreSerializer, responses={202: ControlResultSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Restore a VM from the bin, running if it ran; 202 with the job."""

        def record() -> Response:
            self.validate_body(RestoreSerializer(data=request.data), Role.ADMIN)
            return self.control_response(restore_vm(scope=self.scope, vm_id=pk))

        return self.run_command(request, record)


class VmBulkActionsView(CommandView):
    """Request the same action on many VMs."""

    may_be_held_back = True
    queryset = VMS
    serializer_class = BulkControlResultSerializer

    @extend_schema(
        operation_id="vms_bulk_actions_create",
        parameters=[DRY_RUN],
        request=BulkActionSerializer,
        responses={200: BulkControlResultSerializer, 202: BulkControlResultSerializer},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Request an action on up to 500 VMs: 202 when jobs were recorded, 200 when none was.

        Besides the actions on one VM: `resize`, `move`, `snapshot`, `tag`, `protect`, `unprotect`, `remove` and `restore`.

        With `mode` `all` (the default) nothing is done unless every VM allows the action: 409 `not_all_valid`, with the results.
        With `valid`, it is done for those that do, and the others' refusals are in the results.
        """
        params = self.validate_body(BulkActionSerializer(data=body_with_dry_run(request)), Role.OPERATOR)
        vm_ids, mode, dry_run = params.pop("ids"), params.pop("mode"), params.pop("dry_run")
        action = params.pop("action")
        controls = control_many(
            scope=self.scope, vm_ids=vm_ids, action=action, fields=params, mode=mode, dry_run=dry_run
        )
        results = [
            {
                "vm": vm_id,
                "changed": control.changed,
                "job": control.job and control.job.pk,
                "refusal": control.refusal,
            }
            for vm_id, control in zip(vm_ids, controls, strict=True)
        ]
        refused = sum(control.refusal is not None for control in controls)
        changed = sum(control.changed for control in controls)
        body = BulkControlResultSerializer({"changed": changed, "refused": refused, "results": results}).data
        if refused and mode == "all" and not dry_run:
            raise ConflictError(
                "not_all_valid",
                _("Nothing was changed: %(refused)s of %(count)s VMs are in a state that doesn't allow it.")
                % {"refused": refused, "count": len(vm_ids)},
                results=body["results"],
            )
        return Response(
            body, status=202 if any(control.changed and control.job for control in controls) else 200
        )
