"""Passwords of VMs: set a new one, and read the one that a server has reported (Windows)."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from security.encryption import UnreadableSecretError, decrypt, encrypt
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role, Scope

from ..commands.passwords import ClearPasswordCommand, ReadPasswordCommand, ResetPasswordCommand
from ..models import PasswordReading, PasswordReset, VirtualMachine
from .locked_vms import lock_vm

PASSWORD_LENGTH = 20
# Without characters that look alike, quotes, and what shells and keyboards of other languages change.
_KINDS = (
    "".join(sorted(set(string.ascii_lowercase) - set("lo"))),
    "".join(sorted(set(string.ascii_uppercase) - set("IO"))),
    "23456789",
    "-_.+=",
)
# The command with which the holder of the private key reads a password; Nova encrypts with RSA and PKCS #1 v1.5.
DECRYPT_COMMAND = "echo '{password}' | base64 -d | openssl pkeyutl -decrypt -inkey ~/.ssh/id_rsa"


@dataclass(frozen=True, slots=True)
class ReportedPassword:
    """The encrypted password that was last read, with its time and the command that decrypts it; None for each if there is none."""

    encrypted_password: str | None = None
    read_at: datetime | None = None
    decrypt_command: str | None = None


def reset_password(*, scope: Scope, vm_id: UUID) -> tuple[VirtualMachine, Job, str]:
    """Generate a password, submit the job that sets it, and return it: it is shown nowhere else.

    The worker reads it from a row of its own, encrypted, which is deleted with the job's end.
    Raises `NotFoundError`, 403 `role_too_low`; 409 `in_bin`, `not_bound`, `busy`, `wrong_state`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        password = generate_password()
        reset = PasswordReset(vm=vm, encrypted_password=encrypt(password))
        command = ResetPasswordCommand(str(vm.pk), str(reset.pk))
        command.vm = vm
        job = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user).job
        reset.save(force_insert=True)
        return vm, job, password


def read_password(*, scope: Scope, vm_id: UUID, clear: bool = False) -> tuple[VirtualMachine, Job]:
    """Submit the reading of the password that the server has reported, or with `clear` its deletion in the cloud and here.

    Raises as `reset_password`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        command = ClearPasswordCommand(str(vm.pk)) if clear else ReadPasswordCommand(str(vm.pk))
        command.vm = vm
        job = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user).job
        return vm, job


def last_password(*, scope: Scope, vm: VirtualMachine) -> ReportedPassword:
    """Return the encrypted password that was last read. Raises 403 below the role of an operator."""
    scope.require(Role.OPERATOR, VirtualMachine)
    reading = PasswordReading.objects.filter(vm=vm).first()
    if reading is None:
        return ReportedPassword()
    try:
        text = decrypt(reading.encrypted_text)
    except UnreadableSecretError:
        return ReportedPassword()
    command = DECRYPT_COMMAND.format(password=text) if text else None
    return ReportedPassword(text or None, reading.read_at, command)


def generate_password() -> str:
    """Return a random password of 20 characters (about 118 bits), with a character of each kind, as Windows requires."""
    every = "".join(_KINDS)
    while True:
        password = "".join(secrets.choice(every) for _ in range(PASSWORD_LENGTH))
        # The first character is a letter, because some systems read a leading "-" or "+" as an option.
        if password[0].isalpha() and all(set(kind) & set(password) for kind in _KINDS):
            return password
