"""SSH keys, templates of user data, and how people log in to a VM, over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from tasks.command_views import CommandView, job_response
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..models import SSHKey, UserDataTemplate, VirtualMachine
from ..serializers import (
    NewSSHKeySerializer,
    NewUserDataTemplateSerializer,
    PasswordJobSerializer,
    PasswordRequestSerializer,
    RenameSSHKeySerializer,
    ReportedPasswordSerializer,
    SSHKeySerializer,
    UserDataTemplateDetailSerializer,
    UserDataTemplateSerializer,
    VmUserDataSerializer,
)
from ..services import passwords, ssh_keys, user_data_templates
from ..services.logins import read_login
from .vm_children import VmChildView


class SSHKeyListView(ScopedView, ListAPIView[SSHKey]):
    """The caller's own keys, and those of the tenant."""

    queryset = SSHKey.objects.all()
    serializer_class = SSHKeySerializer
    search_fields = ["name", "fingerprint"]
    ordering_fields = ["name", "created_at", "last_used_at"]
    ordering = ["name"]

    @extend_schema(request=NewSSHKeySerializer, responses={201: SSHKeySerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Add a public key: the caller's own, or with `tenant` that tenant's."""
        serializer = NewSSHKeySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        key = ssh_keys.add_ssh_key(scope=self.scope, **serializer.validated_data)
        return Response(SSHKeySerializer(key).data, status=201)


class SSHKeyDetailView(CommandView, RetrieveAPIView[SSHKey]):
    """One key."""

    queryset = SSHKey.objects.all()
    serializer_class = SSHKeySerializer

    def require_access(self, role: Role) -> None:
        """Raise 404, then 403 for a tenant's key below the role; one's own key needs none."""
        key = self.get_object()
        if key.user_id != self.scope.user.pk:
            self.scope.require(role, SSHKey)

    @extend_schema(request=RenameSSHKeySerializer, responses=SSHKeySerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Rename the key."""
        fields = self.validate_body(RenameSSHKeySerializer(data=request.data), Role.ADMIN)
        key = ssh_keys.rename_ssh_key(scope=self.scope, key_id=pk, **fields)
        return Response(SSHKeySerializer(key).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the key. VMs that were created with it keep it."""
        ssh_keys.remove_ssh_key(scope=self.scope, key_id=pk)
        return Response(status=204)


class UserDataTemplateListView(CommandView, ListAPIView[UserDataTemplate]):
    """The tenant's templates of user data, without their texts."""

    queryset = UserDataTemplate.objects.select_related("updated_by")
    serializer_class = UserDataTemplateSerializer
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "updated_at"]
    ordering = ["name"]

    @extend_schema(request=NewUserDataTemplateSerializer, responses={201: UserDataTemplateDetailSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Add a template."""
        fields = self.validate_body(NewUserDataTemplateSerializer(data=request.data), Role.ADMIN)
        template = user_data_templates.add_template(scope=self.scope, **fields)
        # Without the text: the answer is stored under its Idempotency-Key.
        return Response(UserDataTemplateSerializer(template).data, status=201)


class UserDataTemplateDetailView(CommandView):
    """One template of user data."""

    queryset = UserDataTemplate.objects.select_related("updated_by")
    serializer_class = UserDataTemplateDetailSerializer
    honours_if_match = True

    @extend_schema(responses=UserDataTemplateDetailSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the template with its text, for administrators."""
        template, text = user_data_templates.read_template(scope=self.scope, template_id=pk)
        return _render_template(template, text)

    @extend_schema(request=NewUserDataTemplateSerializer, responses=UserDataTemplateDetailSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change name and text."""
        serializer = NewUserDataTemplateSerializer(data=request.data, partial=True)
        fields = self.validate_body(serializer, Role.ADMIN)
        user_data_templates.change_template(
            scope=self.scope, template_id=pk, fields=fields, if_match=request.headers.get("If-Match")
        )
        return self.get(request, pk)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the template. VMs that were created from it keep what they have."""
        user_data_templates.remove_template(
            scope=self.scope, template_id=pk, if_match=request.headers.get("If-Match")
        )
        return Response(status=204)


def _render_template(template: UserDataTemplate, text: str) -> Response:
    data = UserDataTemplateSerializer(template).data | {"text": text}
    return Response(data, headers={"ETag": etag_of(template.version)})


class VmUserDataView(VmChildView):
    """What a VM was given at its creation."""

    queryset = VirtualMachine.objects.all()
    serializer_class = VmUserDataSerializer

    @extend_schema(responses=VmUserDataSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return user data and keys, for administrators of the tenant."""
        login, text = read_login(scope=self.scope, vm=self.get_vm())
        data = {
            "user_data": text,
            "config_drive": login.config_drive,
            "ssh_keys": login.ssh_keys,
            "deploy_key": bool(login.deploy_public_key),
        }
        return Response(data)


class VmPasswordView(VmChildView):
    """The password of a VM's administrator."""

    may_be_held_back = False
    queryset = VirtualMachine.objects.all()
    serializer_class = ReportedPasswordSerializer

    @extend_schema(responses=ReportedPasswordSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the encrypted password that was last read from the VM (Windows), with the command that decrypts it."""
        return Response(asdict(passwords.last_password(scope=self.scope, vm=self.get_vm())))

    @extend_schema(
        request=PasswordRequestSerializer,
        responses={200: PasswordJobSerializer, 202: PasswordJobSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Set a new password, which this answer alone shows; or read or clear the one that the VM has reported."""
        shown: dict[str, Any] = {"password": None}

        def record() -> Response:
            params = self.validate_body(PasswordRequestSerializer(data=request.data), Role.OPERATOR)
            if params["action"] == "reset":
                _vm, job, shown["password"] = passwords.reset_password(scope=self.scope, vm_id=pk)
            else:
                clear = params["action"] == "clear"
                _vm, job = passwords.read_password(scope=self.scope, vm_id=pk, clear=clear)
            return job_response(job, {})

        response = self.run_command(request, record)
        # Added after the response was stored under its Idempotency-Key: a replay has no password.
        if response.data["job"]["status"] in {"failed", "errored", "cancelled"}:
            shown["password"] = None
        reported = passwords.last_password(scope=self.scope, vm=self.get_vm())
        response.data.update(shown, **asdict(reported))
        return response
