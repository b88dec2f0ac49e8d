"""Requests to clouds are counted by service and outcome."""

from __future__ import annotations

import contextlib

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudaccounts.connect import open_cloud
from openstack_client import CloudError
from tests.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def count(client):
    """Return a function that tells how many requests were counted since the beginning of the test, by labels."""

    def read():
        families = text_string_to_metric_families(client.get("/metrics").content.decode())
        return {
            tuple(
                sample.labels[name] for name in ("service", "method", "outcome") if name in sample.labels
            ): (sample.value)
            for family in families
            for sample in family.samples
            if sample.name in {"portal_cloud_requests_total", "portal_cloud_request_duration_seconds_count"}
        }

    before = read()
    return lambda: {
        key: value - before.get(key, 0) for key, value in read().items() if value > before.get(key, 0)
    }


def test_requests_count_by_service_and_outcome(cloud, account, count):
    opened = open_cloud(account, "RegionOne")
    opened.compute.list_flavors()
    with contextlib.suppress(CloudError):
        opened.compute.get_server("00000000-0000-0000-0000-000000000000")
    cloud.faults({"service": "image", "path": ".*", "kind": "status", "status": 503})
    with pytest.raises(CloudError):
        opened.image.list_images()

    counted = count()

    assert counted["identity", "POST", "succeeded"] == 1
    assert counted["compute", "GET", "succeeded"] >= 1
    assert counted["compute", "GET", "refused"] == 1
    assert counted["image", "GET", "failed"] >= 1
    assert ("image", "GET", "succeeded") not in counted
    assert counted["image",] >= counted["image", "GET", "failed"]


def test_a_cloud_that_does_not_answer_counts(account, count):
    account.auth_url = f"http://127.0.0.1:{free_port()}/identity/v3"
    account.save()

    with pytest.raises(CloudError):
        open_cloud(account, "RegionOne").compute.list_flavors()

    assert {outcome for _service, _method, outcome in (key for key in count() if len(key) == 3)} == {
        "no_answer"
    }
