"""Clients that are signed in as somebody of a tenant."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from portal.api.scoping import Role
from tests.factories import MembershipFactory


@pytest.fixture
def client_of():
    """A client that is signed in as a user."""

    def client(user):
        signed_in = APIClient()
        signed_in.force_authenticate(user)
        return signed_in

    return client


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
