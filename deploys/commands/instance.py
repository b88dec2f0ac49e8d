"""The job that deploys a version to one host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import decode_message, encode_message, limit_message
from api.messages import message as _
from security.encryption import UnreadableSecretError
from tasks.command import Command, Done, Entity, Failed, Failure, Result, minutes, register, step
from tasks.leases import LeaseLostError, check_lease

from ..executors import (
    Code,
    Credentials,
    Executor,
    ExecutorError,
    HealthCheck,
    Order,
    Outcome,
    Release,
    Target,
    UnknownExecutorError,
    create_executor,
)
from ..executors.masked_log import LINE_CHARACTERS, LOG_CHARACTERS
from ..executors.untrusted_text import clean_text
from ..models import DeployKey, DeploymentItem, MicroServiceInstance, MicroServiceVersion

MAX_HEALTH_SECONDS = 60
# The interval at which new log lines are written to the database.
FLUSH_SECONDS = 1.0
# In characters. An executor limits the log of one try; the logs of several tries are appended to each other.
MAX_LOG_LENGTH = 2 * LOG_CHARACTERS


def find_executor(name: str) -> Executor:
    """Return a service's executor with the operator's options. Raises `UnknownExecutorError`."""
    options: dict[str, dict[str, object]] = {
        "ansible": {"seconds": settings.DEPLOY_SECONDS, "allow_local": settings.ALLOW_LOCAL_HOSTS},
        # With a revert, the program and the health check run twice; both have to fit into DEPLOY_SECONDS.
        "command": {
            "programs": settings.DEPLOY_PROGRAMS,
            "seconds": max(5.0, settings.DEPLOY_SECONDS / 2 - MAX_HEALTH_SECONDS),
            "allow_local": settings.ALLOW_LOCAL_HOSTS,
        },
    }
    return create_executor(name, options.get(name, {}))


@register
@dataclass
class DeployInstanceCommand(Command):
    """Deploy a version to one host, and the previous version when that fails and automatic revert is on.

    Safe to repeat: a host that already runs the version is a success, and a half-done deployment is continued. The
    instance is unlocked in the transaction that ends the job, for whatever reason.
    """

    item_id: int

    kind: ClassVar[str] = "deploys.instance"
    title: ClassVar[str | Promise] = gettext_lazy("Deploy to")
    deadline: ClassVar[timedelta] = minutes(30)
    queue: ClassVar[str] = "deploys"
    renamed_steps: ClassVar[Mapping[str, str]] = {"put_it_there": "run_executor"}

    @cached_property
    def item(self) -> DeploymentItem:
        """Return the item with everything that an order needs."""
        items = DeploymentItem.objects.select_related(
            "deployment__service__information_system",
            "deployment__to_version",
            "from_version",
            "instance__host",
        )
        return items.get(pk=self.item_id)

    def entity(self) -> Entity:
        """Return the instance."""
        return Entity("instance", str(self.item.instance_id), self.item.host_name)

    @step(title=gettext_lazy("Deploy version to host"))
    def run_executor(self) -> Result:
        """Run the executor, which also restarts the service, checks its health and reverts it."""
        item = self.item
        DeploymentItem.objects.filter(pk=item.pk, started_at=None).update(
            result=DeploymentItem.Result.RUNNING, started_at=Now()
        )
        try:
            order = self.build_order()
            executor = find_executor(item.deployment.service.executor)
        except (ValueError, UnknownExecutorError, UnreadableSecretError) as error:
            return self._record_outcome(
                Outcome(Code.FAILED, str(error), item.from_version.label, changed=False)
            )
        log = _LogBuffer(item.pk, "" if not self.retrying else item.log)
        try:
            outcome = executor.deploy(order, log.append, should_continue=lambda: self.holds_job(log))
        except ExecutorError as error:
            outcome = Outcome(error.code, error.message)
        except SystemExit as error:
            # SystemExit would end this worker, and then each worker that claims the job next.
            raise RuntimeError("The executor tried to end its process.") from error
        finally:
            log.flush()
        if outcome.code == Code.CANCELLED:
            check_lease()
        return self._record_outcome(outcome)

    def holds_job(self, log: _LogBuffer) -> bool:
        """Return whether this worker still owns the job: a worker whose lease ran out must not go on beside its successor.

        The executor calls it twice a second in this thread, so it also writes the log to the database.
        """
        log.flush_if_due()
        try:
            check_lease()
        except LeaseLostError:
            return False
        return True

    def _record_outcome(self, outcome: Outcome) -> Result:
        """Keep the executor's outcome in the job's data for the last transaction."""
        self.data["outcome"] = [str(outcome.code), encode_message(outcome.message), outcome.running]
        return Done(outcome.message) if outcome.ok else Failed(str(outcome.code), outcome.message)

    def build_order(self) -> Order:
        """Return the order for the executor. Raises ValueError for an instance that cannot be deployed to, `UnreadableSecretError`."""
        item, instance = self.item, self.item.instance
        if instance is None:
            raise ValueError(_("The instance no longer exists."))
        service, host = item.deployment.service, instance.host
        key = DeployKey.objects.filter(tenant=host.tenant_id).first()
        health = None
        if service.health_path:
            health = HealthCheck(
                path=service.health_path,
                port=service.health_port or instance.port,
                expected_status=service.health_status,
                seconds=service.health_seconds,
                contains=service.health_contains,
            )
        return Order(
            target=Target(
                name=host.hostname,
                ip=str(host.ip),
                user=host.user,
                service=service.name,
                service_port=instance.port,
                folder=service.folder,
                ssh_port=host.ssh_port,
            ),
            release=_to_release(item.deployment.to_version),
            credentials=Credentials(key.private_key() if key else "", host.known_hosts),
            health=health,
            settings=service.executor_settings,
            previous=_to_release(item.from_version) if item.from_version.is_built else None,
            auto_revert=bool(item.deployment.strategy.get("auto_revert", True)),
        )

    def on_success(self) -> None:
        """Record that the version runs on the host."""
        self._write_result(DeploymentItem.Result.SUCCEEDED)

    def on_failure(self, failure: Failure) -> None:
        """Record the failure, and the version that the executor reported as running."""
        outcome = self.data.get("outcome")
        was_reverted = outcome is not None and outcome[2] == self.item.from_version.label
        was_started = DeploymentItem.objects.filter(pk=self.item_id, started_at__isnull=False).exists()
        if outcome is not None and outcome[0] == Code.OK:
            # The job was cancelled after the executor had succeeded.
            self._write_result(DeploymentItem.Result.SUCCEEDED)
        elif not was_started:
            self._write_result(DeploymentItem.Result.SKIPPED, failure)
        elif was_reverted:
            self._write_result(DeploymentItem.Result.REVERTED, failure)
        else:
            self._write_result(DeploymentItem.Result.FAILED, failure)

    def _write_result(self, result: DeploymentItem.Result, failure: Failure | None = None) -> None:
        code, stored, running = self.data.get("outcome") or ["", "", None]
        message = decode_message(stored)
        if failure is not None:
            code, message = code or failure.code, message or failure.message
        known = {value for value, _label in Code.choices}
        DeploymentItem.objects.filter(pk=self.item_id).update(
            result=result,
            code=code if code in known else Code.CANCELLED if code == "cancelled" else Code.FAILED,
            message=limit_message(message, 4000),
            ended_at=Now(),
        )
        item = self.item
        status: str = MicroServiceInstance.Status.RUNNING
        version_id: UUID = item.from_version_id
        if result == DeploymentItem.Result.SUCCEEDED:
            version_id = item.deployment.to_version_id
        elif result == DeploymentItem.Result.SKIPPED:
            status = item.from_status
        elif result == DeploymentItem.Result.FAILED:
            status = MicroServiceInstance.Status.FAILED
            labels = {item.deployment.to_version.label: item.deployment.to_version_id}
            version_id = labels.get(running or "", version_id)
        unlock_instance(item, status, version_id)


def unlock_instance(item: DeploymentItem, status: str, version_id: UUID) -> None:
    """Unlock an item's instance in the caller's transaction, if its deployment still holds it."""
    locked_instance = MicroServiceInstance.objects.filter(history=item, locked_by=item.deployment_id)
    locked_instance.update(
        status=status, version_id=version_id, locked=False, locked_by=None, updated_at=Now()
    )


def _to_release(version: MicroServiceVersion) -> Release:
    return Release(version.label, version.artifact_url, version.sha256)


class _LogBuffer:
    """The log of one host: cleaned, bounded, and written to its item once a second."""

    def __init__(self, item_id: int, text: str) -> None:
        self.item_id, self.text = item_id, text
        self.flushed_at = time.monotonic()
        self.has_new_lines = bool(text)

    def append(self, line: str) -> None:
        """Append a line, which the executor has masked."""
        if len(self.text) < MAX_LOG_LENGTH:
            self.text += clean_text(line, LINE_CHARACTERS) + "\n"
            self.has_new_lines = True
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the new lines, if the last write is long enough ago."""
        if self.has_new_lines and time.monotonic() - self.flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the new lines."""
        if self.has_new_lines:
            DeploymentItem.objects.filter(pk=self.item_id).update(log=self.text)
            self.flushed_at, self.has_new_lines = time.monotonic(), False
