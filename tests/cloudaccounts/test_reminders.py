"""Events before a prepaid resource of a vendor ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudaccounts.services.reminders import record_paid_ends
from events.labels import label_event
from events.models import Event
from tests.factories import CloudAccountFactory, CloudResourceFactory, TenantFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def ending(name, *, days, account, **columns):
    return CloudResourceFactory(
        account=account, type="server", name=name, paid_until=NOW + timedelta(days=days), **columns
    )


def told():
    events = Event.objects.filter(code="cloud_resource.ends_soon").order_by("pk")
    return [(event.object_name, event.parameters["days"], event.tenant_id) for event in events]


def test_a_resource_is_told_a_week_and_a_day_before_its_end(django_assert_max_num_queries):
    tenant = TenantFactory()
    own, shared = CloudAccountFactory(tenant=tenant, provider="aws"), CloudAccountFactory(provider="alibaba")
    ending("week", days=6.5, account=own)
    ending("tomorrow", days=0.5, account=shared)
    ending("later", days=8, account=own)
    ending("over", days=-1, account=own)
    ending("gone", days=3, account=own, expired_at=NOW)
    ending("off", days=3, account=CloudAccountFactory(tenant=tenant, provider="aws", active=False))

    with django_assert_max_num_queries(3):
        assert record_paid_ends(NOW) == 2
    assert record_paid_ends(NOW) == 0

    assert sorted(told()) == [("tomorrow", 1, None), ("week", 7, tenant.pk)]
    event = Event.objects.get(object_name="week")
    assert label_event(event) == "Prepaid resource ends on 2026-03-17"
    # A day before, it is told again; a renewal makes it another end.
    assert record_paid_ends(NOW + timedelta(days=6)) == 2
    assert {(name, days) for name, days, _tenant in told()[2:]} == {("later", 7), ("week", 1)}
