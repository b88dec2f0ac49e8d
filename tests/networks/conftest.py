from __future__ import annotations

import pytest

from cloudaccounts.models import CloudResource
from cloudaccounts.sync.resources import sync_resource
from tests.vms.conftest import account, admin, catalogue, cloud, system

__all__ = ["account", "admin", "catalogue", "cloud", "system"]


@pytest.fixture
def external(account, catalogue):
    """The external network of the simulated cloud, as a sync finds it."""
    return CloudResource.objects.get(account=account, type="network", attributes__is_external=True)


@pytest.fixture
def sync(account):
    """Return a function that syncs types of the account's resources."""

    def run(*types):
        for type_code in types:
            log = sync_resource(account.pk, type_code)
            assert log.state == "success", log.message

    return run


def errors_of(answer):
    """Return the errors of a refused request, by field."""
    assert answer.status_code == 400, answer.json()
    assert answer.json()["code"] == "invalid", answer.json()
    return answer.json()["errors"]
