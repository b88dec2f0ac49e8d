"""A folder on a host belongs to one service."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from django.db import connection

from api.domain_errors import DomainError
from deploys.models import MicroServiceInstance
from deploys.services import instances
from tenants.scoping import Role, Scope
from tests.factories import HostFactory, InstanceFactory, MembershipFactory, ServiceFactory, VersionFactory

FOLDER = "/srv/shop"


def service_in(folder, tenant):
    service = ServiceFactory(information_system__tenant=tenant, folder=folder)
    VersionFactory(service=service)
    return service


def put(client, service, host):
    body = {"host": str(host.pk), "version": str(service.versions.get().pk)}
    return client.post(f"/api/v1/services/{service.pk}/instances/", body, format="json")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("folder", "plain"),
    [("/srv/shop/", FOLDER), ("/srv//shop", FOLDER), ("/srv/./shop", FOLDER), ("/srv/x/../shop", FOLDER)],
)
def test_a_folder_is_written_in_one_way(admin_client, member, folder, plain):
    service = service_in("/srv/other", member.tenant)

    answer = admin_client.patch(f"/api/v1/services/{service.pk}/", {"folder": folder}, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"] == {"folder": [f"Enter it as {plain}."]}


@pytest.mark.django_db
def test_two_services_do_not_get_one_folder_of_a_host(admin_client, member):
    first, second = (service_in(FOLDER, member.tenant) for _ in range(2))
    host, other_host = (HostFactory(tenant=member.tenant) for _ in range(2))
    assert put(admin_client, first, host).status_code == 201

    refused = put(admin_client, second, host)

    assert (refused.status_code, refused.json()["code"]) == (409, "folder_taken")
    assert first.name in refused.json()["detail"]
    assert str(host) in refused.json()["detail"]
    # On another host it is free.
    assert put(admin_client, second, other_host).status_code == 201


@pytest.mark.django_db
def test_a_service_does_not_move_into_anothers_folder(admin_client, member):
    first, second = service_in(FOLDER, member.tenant), service_in("/srv/second", member.tenant)
    host = HostFactory(tenant=member.tenant)
    for service in (first, second):
        InstanceFactory(service=service, host=host, version=service.versions.get())

    refused = admin_client.patch(f"/api/v1/services/{second.pk}/", {"folder": FOLDER}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "folder_taken")
    second.refresh_from_db()
    assert second.folder == "/srv/second"


@pytest.mark.django_db(transaction=True)
def test_of_two_that_come_at_once_one_gets_the_folder():
    member = MembershipFactory(role=Role.ADMIN)
    scope = Scope(member.user, member.tenant, Role.ADMIN)
    services = [service_in(FOLDER, member.tenant) for _ in range(6)]
    host = HostFactory(tenant=member.tenant)
    together, refused = Barrier(len(services)), []

    def add(service):
        fields = {"host": host.pk, "version": service.versions.get().pk}
        together.wait(30)
        try:
            instances.add_instance(scope=scope, service_id=service.pk, fields=fields)
        except DomainError as refusal:
            refused.append(refusal.code)
        finally:
            connection.close()

    threads = [Thread(target=add, args=(service,)) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert MicroServiceInstance.objects.filter(host=host).count() == 1
    assert refused == ["folder_taken"] * (len(services) - 1)
