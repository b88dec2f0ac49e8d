"""Request console readings of a VM, and return the last texts to the user who requested them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.db import transaction

from security.encryption import UnreadableSecretError
from tasks import engine
from tasks.clock import is_recent
from tasks.models import Job
from tenants.scoping import Role, Scope

from ..commands.console import ReadConsoleCommand
from ..models import ConsoleReading, VirtualMachine
from .locked_vms import lock_vm


@dataclass(frozen=True, slots=True)
class Console:
    """The texts that were last read for a user, each with its time, or None."""

    url: str | None = None
    url_read_at: datetime | None = None
    log: str | None = None
    log_read_at: datetime | None = None


def read_console(
    *, scope: Scope, vm_id: UUID, reading: Literal["url", "log"], lines: int = 100
) -> tuple[VirtualMachine, Job]:
    """Submit the reading of a console. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `not_bound`, `wrong_state`."""
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        command = ReadConsoleCommand(str(vm.pk), str(scope.user.pk), reading, lines)
        command.vm = vm
        job = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user).job
        return vm, job


def last_console(*, scope: Scope, vm: VirtualMachine) -> Console:
    """Return the texts that were last read for this user. A URL is left out when it has expired in the cloud."""
    readings = ConsoleReading.objects.filter(vm=vm, user=scope.user)
    found = {reading.kind: reading for reading in readings}
    url, log = found.get("url"), found.get("log")
    if url is not None and not is_recent(url.read_at, timedelta(seconds=settings.CONSOLE_URL_SECONDS)):
        url = None
    try:
        return Console(
            url.text() if url else None,
            url.read_at if url else None,
            log.text() if log else None,
            log.read_at if log else None,
        )
    except UnreadableSecretError:
        return Console()
