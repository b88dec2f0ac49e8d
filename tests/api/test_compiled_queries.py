"""A query is compiled once and answers for every id."""

from __future__ import annotations

import pytest

from api.compiled_queries import CompiledQuery
from tenants.models import Tenant
from tests.factories import MembershipFactory, TenantFactory

pytestmark = pytest.mark.django_db


def test_it_is_built_once_and_answers_for_each_id(django_assert_num_queries):
    built = []

    def build(pk):
        built.append(pk)
        return Tenant.objects.filter(pk=pk, active=True).values_list("name", "memberships__role")

    query = CompiledQuery(build)
    first, second, idle = (
        TenantFactory(name="First"),
        TenantFactory(name="Second"),
        TenantFactory(active=False),
    )
    role = MembershipFactory(tenant=first).role

    with django_assert_num_queries(3):
        assert query.fetch(first.pk) == [("First", role)]
        assert query.fetch(second.pk) == [("Second", None)]
        assert query.fetch(idle.pk) == []
    assert len(built) == 1


def test_a_query_that_leaves_the_id_out_is_refused():
    query = CompiledQuery(lambda pk: Tenant.objects.filter(active=True).values_list("name"))

    with pytest.raises(TypeError, match="compares nothing with the id"):
        query.fetch(TenantFactory().pk)
