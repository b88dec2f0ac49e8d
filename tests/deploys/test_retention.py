"""Old deployments are deleted where an operator has set how long they are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deploys.models import Deployment, DeploymentItem, MicroServiceInstance
from deploys.services.retention import prune_deployments
from deploys.tasks import prune
from tests.factories import DeploymentItemFactory, ServiceFactory

pytestmark = pytest.mark.django_db


def deploy(service, days, *, is_ended=True):
    """Return a deployment of a service that ended some days ago."""
    at = timezone.now() - timedelta(days=days)
    item = DeploymentItemFactory(deployment__service=service)
    Deployment.objects.filter(pk=item.deployment_id).update(created_at=at, ended_at=at if is_ended else None)
    return item.deployment


@pytest.fixture
def deployments():
    """Deployments of a service 40, 30 and 20 days ago, one that never ended, and the only one of another service."""
    service = ServiceFactory()
    running = deploy(service, 50, is_ended=False)
    return [*(deploy(service, days) for days in (40, 30, 20)), running, deploy(ServiceFactory(), 40)]


def kept():
    return set(Deployment.objects.all())


def test_all_are_kept_by_default(deployments):
    prune()

    assert kept() == set(deployments)


@pytest.mark.parametrize("batch", [1, 2, 10])
def test_old_ones_go_with_their_items_and_the_last_of_a_service_stays(deployments, settings, batch):
    settings.DEPLOYMENT_RETENTION_DAYS = 15
    instances = MicroServiceInstance.objects.count()
    _oldest, old, last, running, alone = deployments
    Deployment.objects.filter(pk=last.pk).update(retry_of=old)

    assert prune_deployments(batch) == 2

    assert kept() == {last, running, alone}
    assert set(DeploymentItem.objects.values_list("deployment", flat=True)) == {one.pk for one in kept()}
    assert Deployment.objects.get(pk=last.pk).retry_of is None
    assert MicroServiceInstance.objects.count() == instances
    assert prune_deployments(batch) == 0


def test_younger_ones_stay(deployments, settings):
    settings.DEPLOYMENT_RETENTION_DAYS = 35

    prune()

    assert kept() == set(deployments[1:])
