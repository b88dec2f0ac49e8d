"""Clients that are signed in as somebody of a tenant."""

from __future__ import annotations

import pytest

from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.tenants.conftest import client_of

__all__ = ["client_of"]


@pytest.fixture
def member(db):
    """An operator of a tenant."""
    return MembershipFactory(role=Role.OPERATOR)


@pytest.fixture
def client(member, client_of):
    """Signed in as the operator."""
    return client_of(member.user)


@pytest.fixture
def admin_client(member, client_of):
    """Signed in as an administrator of the same tenant."""
    return client_of(MembershipFactory(tenant=member.tenant, role=Role.ADMIN).user)
