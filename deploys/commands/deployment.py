"""The job of a deployment: batch after batch, with a child job for each instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages, limit_message
from api.messages import message as _
from tasks.command import Command, Done, Entity, Failed, Failure, Result, Spawn, Wait, minutes, register, step
from tasks.models import JobStatus
from vms.models import lock_key

from ..models import Deployment, DeploymentItem, MicroServiceInstance
from .instance import DeployInstanceCommand, unlock_instance

_FAILED_RESULTS = (DeploymentItem.Result.FAILED, DeploymentItem.Result.REVERTED)


def deployment_items(deployment_id: str) -> QuerySet[DeploymentItem]:
    """Return the items of a deployment."""
    return DeploymentItem.objects.filter(deployment=UUID(deployment_id))


@register
@dataclass
class DeployServiceCommand(Command):
    """Carry out a deployment. It succeeds when every instance runs the version.

    Each instance is locked by its own row (`locked`) until its item has ended. The engine locks the VMs of the hosts until
    the whole deployment has ended. The end of the job, for whatever reason, unlocks the remaining instances.
    """

    deployment_id: str

    kind: ClassVar[str] = "deploys.service"
    title: ClassVar[str | Promise] = gettext_lazy("Deploy")
    deadline: ClassVar[timedelta] = minutes(24 * 60)
    queue: ClassVar[str] = "deploys"
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "batch_by_batch": "run_batches",
        "count_them": "check_results",
    }

    @cached_property
    def deployment(self) -> Deployment:
        """Return the deployment with its service and target version."""
        deployments = Deployment.objects.select_related("service", "to_version")
        deployment: Deployment = deployments.get(pk=self.deployment_id)
        return deployment

    @cached_property
    def vms(self) -> set[UUID]:
        """Return the ids of the VMs of its hosts."""
        items_on_vms = deployment_items(self.deployment_id).exclude(instance__host__vm=None)
        return set(items_on_vms.values_list("instance__host__vm_id", flat=True))

    def new_row_params(self) -> frozenset[str]:
        """Return the deployment."""
        return frozenset({"deployment_id"})

    def describe_change(self) -> dict[str, Any]:
        """Return the versions, the hosts and their data-center types, and the strategy.

        The type of a host without a VM is not known: then there are none, and policies for a type match.
        """
        deployment = self.deployment
        items = deployment_items(self.deployment_id).order_by("batch", "host_name")
        hosts = list(items.values_list("batch", "host_name", "instance__host__vm__data_center_type"))
        types = {of_vm for _batch, _name, of_vm in hosts}
        return {
            "service": deployment.service.name,
            "action": deployment.action,
            "from_version": deployment.from_version.label,
            "to_version": deployment.to_version.label,
            "strategy": deployment.strategy,
            "count": len(hosts),
            "hosts": [f"{batch + 1}: {name}" for batch, name, _type in hosts],
            **({} if None in types else {"data_center_types": sorted(types)}),
        }

    def locks(self) -> list[str]:
        """Return the locks of the VMs, so that none is restarted or removed during the deployment."""
        return [lock_key(vm) for vm in self.vms]

    def entity(self) -> Entity:
        """Return the deployment."""
        deployment = self.deployment
        return Entity(
            "deployment", self.deployment_id, f"{deployment.service.name} {deployment.to_version.label}"
        )

    @step(title=gettext_lazy("Run batches"))
    def run_batches(self) -> Result:
        """Spawn the batches, which run one after another and each check the failure limit first."""
        children = [
            DeployBatchCommand(self.deployment_id, number) for number in range(self.deployment.batches)
        ]
        return Spawn(children, optional=True, permanent=True)

    @step(title=gettext_lazy("Check results"))
    def check_results(self) -> Result:
        """Fail when an instance does not run the version, with the messages of the first failures."""
        items = deployment_items(self.deployment_id)
        unsuccessful = items.exclude(result=DeploymentItem.Result.SUCCEEDED)
        failed = list(unsuccessful.filter(result__in=_FAILED_RESULTS).order_by("batch", "pk"))
        not_started = unsuccessful.count() - len(failed)
        if not failed and not not_started:
            return Done()
        messages = join_messages(
            (
                join_messages(
                    [item.host_name, item.message or DeploymentItem.Result(item.result).label], ": "
                )
                for item in failed[:3]
            ),
            "; ",
        )
        return Failed(
            (failed[0].code if failed else "") or "failed",
            _("%(failed)s failed, %(not_begun)s not started. %(said)s")
            % {"failed": len(failed), "not_begun": not_started, "said": messages},
        )

    def on_success(self) -> None:
        """Record the end of the deployment."""
        self._end_deployment(_("Not started."))

    def on_failure(self, failure: Failure) -> None:
        """Record the end of the deployment, and unlock the instances that it did not start with."""
        cancelled = failure.code == "cancelled"
        self._end_deployment(
            _("Canceled before it started.") if cancelled else _("Stopped: failure limit reached.")
        )

    def _end_deployment(self, reason: str) -> None:
        """Unlock the instances whose items have not ended, in the transaction that ends the job."""
        items = deployment_items(self.deployment_id).filter(
            result__in=[DeploymentItem.Result.WAITING, DeploymentItem.Result.RUNNING],
        )
        for item in items.select_related("deployment"):
            was_started = item.result == DeploymentItem.Result.RUNNING
            unlock_instance(
                item,
                MicroServiceInstance.Status.UNKNOWN if was_started else item.from_status,
                item.from_version_id,
            )
        items.update(
            result=DeploymentItem.Result.SKIPPED, message=limit_message(reason, 4000), ended_at=Now()
        )
        Deployment.objects.filter(pk=self.deployment_id).update(ended_at=Now())


@register
@dataclass
class DeployBatchCommand(Command):
    """Deploy one batch: wait, check the failure limit, and run a child job for each instance."""

    deployment_id: str
    number: int

    kind: ClassVar[str] = "deploys.batch"
    # The longest pause between two batches, and an hour.
    longest_wait: ClassVar[timedelta] = minutes(13 * 60)
    title: ClassVar[str | Promise] = gettext_lazy("Deploy batch")
    deadline: ClassVar[timedelta] = minutes(24 * 60)
    queue: ClassVar[str] = "deploys"
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "instance_by_instance": "deploy_instances",
        "count_them": "check_results",
    }

    def entity(self) -> Entity:
        """Return the deployment, with the number of the batch counted from 1."""
        return Entity("deployment", self.deployment_id, str(self.number + 1))

    @step(title=gettext_lazy("Wait between batches"), deadline=minutes(24 * 60))
    def pause(self) -> Result:
        """Wait, so that operators can check the last batch and cancel."""
        seconds = self._strategy().get("pause", 0)
        if self.number == 0 or not seconds or self.data.get("paused") or self._has_too_many_failures():
            return Done()
        self.data["paused"] = True
        return Wait(float(seconds), _("Waiting %(count)s s before this batch.") % {"count": seconds})

    @step(title=gettext_lazy("Deploy to instances"))
    def deploy_instances(self) -> Result:
        """Spawn a job for each instance of the batch, unless the failure limit is reached."""
        items = deployment_items(self.deployment_id).filter(batch=self.number)
        if self._has_too_many_failures():
            return Failed("too_many_failed", _("Failure limit reached; this batch was not started."))
        ids = list(items.order_by("pk").values_list("pk", flat=True))
        return Spawn(
            [DeployInstanceCommand(pk) for pk in ids], at_once=len(ids), optional=True, permanent=True
        )

    @step(title=gettext_lazy("Check results"))
    def check_results(self) -> Result:
        """Report how many instances failed. A batch never fails by that: the deployment checks the results."""
        children = self.children_of("deploy_instances")
        failed = [child for child in children if child.status != JobStatus.SUCCEEDED]
        return Done(_("%(count)s instances failed.") % {"count": len(failed)} if failed else "")

    def _strategy(self) -> dict[str, int]:
        strategy: dict[str, int] = Deployment.objects.values_list("strategy", flat=True).get(
            pk=self.deployment_id
        )
        return strategy

    def _has_too_many_failures(self) -> bool:
        failed = deployment_items(self.deployment_id).filter(result__in=_FAILED_RESULTS).count()
        return failed > self._strategy().get("max_failures", 0)
