"""Which policies hold, and who has to agree: conditions of time, and several policies at once."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from approvals.matching import find_terms, list_policies, matches
from tests.factories import TenantFactory, UserFactory

from .conftest import add_policy

pytestmark = pytest.mark.django_db
PLAN = {"commands": [{"kind": "vms.create", "details": {"cpu_cores": 4}}]}


@pytest.mark.parametrize(
    ("at", "is_working"),
    [
        # 2026-11-30 is a Monday. Shanghai is eight hours ahead of UTC.
        (datetime(2026, 11, 30, 0, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 30, 1, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 30, 9, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 30, 10, 0, tzinfo=UTC), False),
        (datetime(2026, 12, 4, 9, 0, tzinfo=UTC), True),  # Friday
        (datetime(2026, 12, 5, 3, 0, tzinfo=UTC), False),  # Saturday
        (datetime(2026, 12, 6, 23, 0, tzinfo=UTC), False),  # Monday, 7 in the morning
        (datetime(2026, 12, 7, 1, 30, tzinfo=UTC), True),
    ],
)
def test_working_hours_are_those_of_the_tenants_zone(at, is_working):
    tenant = TenantFactory(time_zone="Asia/Shanghai")
    hours = {"work_begins": time(9), "work_ends": time(18)}
    inside = add_policy(tenant, name="inside", applies_at="working_hours", **hours)
    outside = add_policy(tenant, name="outside", applies_at="outside_working_hours", **hours)

    assert (matches(inside, tenant, PLAN, at), matches(outside, tenant, PLAN, at)) == (
        is_working,
        not is_working,
    )


def test_a_size_that_a_command_does_not_tell_is_rather_agreed_to_than_missed():
    tenant = TenantFactory()
    policy = add_policy(tenant, min_disk_gb=100, data_center_types=["production"])

    assert matches(policy, tenant, PLAN, datetime.now(UTC))


def test_all_policies_that_match_are_met_and_equal_levels_count_once():
    tenant, other, listed = TenantFactory(), TenantFactory(), UserFactory()
    add_policy(tenant, name="a", valid_hours=10)
    add_policy(tenant, name="b", level_count=2, level1_role="admin", level2_role="admin")
    add_policy(tenant, name="c", level1_role="", level1_users=[listed])
    add_policy(tenant, name="large", min_cpu_cores=64, level1_role="operator")
    add_policy(None, name="platform", level1_role="staff")
    add_policy(other, name="foreign", level1_role="operator")

    terms = find_terms(list_policies(tenant, {"vms.create"}), tenant, PLAN)

    assert [(level["role"], level["users"]) for level in terms.levels] == [
        ("admin", []),
        ("admin", []),
        ("", [str(listed.pk)]),
        ("staff", []),
    ]
    assert terms.policies == ["a", "b", "c", "platform"]
    assert (terms.expires_at - datetime.now(UTC)).total_seconds() < 10 * 3600 + 1
    assert list_policies(tenant, {"vms.stop"}) != list_policies(tenant, {"networks.add_rules"}) == []
