"""Set the password of a server, and read or clear the one that it has reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import CloudPasswordRefusedError
from security.encryption import decrypt, encrypt
from tasks.command import Done, Failed, Failure, Refusal, Result, Wait, minutes, register, step

from ..models import PasswordReading, PasswordReset, VirtualMachine, VMOperationLog, VMStatus
from .server import ServerCommand

# RSA with 16,384 bits encrypts to 2,732 characters of base64. The text comes from inside the VM, and is put into a command
# line that people copy, so nothing else is accepted.
_ENCRYPTED = re.compile(r"[A-Za-z0-9+/]{1,4000}={0,2}")


@register
@dataclass
class ResetPasswordCommand(ServerCommand):
    """Set the administrator's password inside a running VM. The password is in a row that only this command reads."""

    vm_id: str
    reset_id: str

    kind: ClassVar[str] = "vms.reset_password"
    title: ClassVar[str | Promise] = gettext_lazy("Reset password of VM")

    def validate(self) -> list[Refusal]:
        """Refuse a VM that is not running: the guest agent sets the password."""
        if refusals := self.unbound_refusals():
            return refusals
        if self.vm.status != VMStatus.RUNNING:
            return [
                Refusal("wrong_state", _("The password can only be reset while the VM runs. Start it first."))
            ]
        return []

    @step(deadline=minutes(5), title=gettext_lazy("Send request to cloud"))
    def set_password(self) -> Result:
        """Set the password. It is safe to repeat, because it is the same one."""
        stored = PasswordReset.objects.filter(pk=self.reset_id, vm=UUID(self.vm_id)).first()
        if stored is None:
            return Failed(
                "password_lost", _("The new password is no longer there. Reset the password again.")
            )
        self.cloud().compute.change_password(self.server_id, decrypt(stored.encrypted_password))
        self.record_request_id()
        return Done()

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say what a VM needs to take a password."""
        if isinstance(error, CloudPasswordRefusedError):
            message = _(
                "The VM took no password: its operating system needs a running guest agent (qemu-guest-agent), and its image the property hw_qemu_guest_agent=yes."
            )
            return Failed("no_guest_agent", message + self.describe_request())
        return super().translate(error)

    def on_success(self) -> None:
        """Delete the stored password, and log who has set one."""
        self._end(success=True)

    def on_failure(self, failure: Failure) -> None:
        """Delete the stored password, and log the reason."""
        self._end(success=False, detail=failure.detail)

    def _end(self, *, success: bool, detail: str = "") -> None:
        PasswordReset.objects.filter(pk=self.reset_id).delete()
        vm = VirtualMachine.objects.select_related("information_system").filter(pk=self.vm_id).first()
        if vm is not None:
            self.log(vm, VMOperationLog.Operation.PASSWORD, success=success, detail=detail)


@register
@dataclass
class ReadPasswordCommand(ServerCommand):
    """Read the encrypted password that a server has reported. It changes nothing, so it locks only another reading."""

    kind: ClassVar[str] = "vms.read_password"
    title: ClassVar[str | Promise] = gettext_lazy("Read password of VM")

    def locks(self) -> list[str]:
        """Lock the password of this VM."""
        return [f"vm-password:{self.vm_id}"]

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server."""
        return self.unbound_refusals()

    @step(title=gettext_lazy("Send request to cloud"))
    def read_password(self) -> Result:
        """Read the password, and store it for those who may log in."""
        text = (self.cloud().compute.get_encrypted_password(self.server_id) or "").strip()
        if not text:
            PasswordReading.objects.filter(vm=UUID(self.vm_id)).delete()
            return Failed(
                "no_password",
                _(
                    "The VM has not reported a password. Windows images with cloudbase-init do so after their first boot, if the VM has an RSA key."
                ),
            )
        if not _ENCRYPTED.fullmatch(text):
            return Failed("unreadable_password", _("What the VM has reported is no encrypted password."))
        PasswordReading.objects.update_or_create(
            vm_id=self.vm.pk, defaults={"encrypted_text": encrypt(text), "read_at": timezone.now()}
        )
        return Done()

    def on_success(self) -> None:
        """Log that somebody was given the encrypted password."""
        vm = VirtualMachine.objects.select_related("information_system").filter(pk=self.vm_id).first()
        if vm is not None:
            self.log(vm, VMOperationLog.Operation.READ_PASSWORD, success=True)

    def on_failure(self, failure: Failure) -> None:
        """Do nothing: the job has the reason."""


@register
@dataclass
class ClearPasswordCommand(ServerCommand):
    """Delete the password that a server has reported, in the cloud and here."""

    kind: ClassVar[str] = "vms.clear_password"
    title: ClassVar[str | Promise] = gettext_lazy("Clear password of VM")

    def locks(self) -> list[str]:
        """Lock the password of this VM."""
        return [f"vm-password:{self.vm_id}"]

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server."""
        return self.unbound_refusals()

    @step(title=gettext_lazy("Send request to cloud"))
    def clear_password(self) -> Result:
        """Delete the password in the cloud, then here. Safe to repeat."""
        self.cloud().compute.clear_encrypted_password(self.server_id)
        PasswordReading.objects.filter(vm=UUID(self.vm_id)).delete()
        return Done()

    def on_success(self) -> None:
        """Log that somebody has deleted the password."""
        vm = VirtualMachine.objects.select_related("information_system").filter(pk=self.vm_id).first()
        if vm is not None:
            self.log(vm, VMOperationLog.Operation.CLEAR_PASSWORD, success=True)

    def on_failure(self, failure: Failure) -> None:
        """Do nothing: the job has the reason."""
