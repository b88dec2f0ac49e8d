"""A row beyond the tenant's limit is refused with the figures, and rows of other tenants do not count."""

from __future__ import annotations

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connections, transaction

from api.domain_errors import DomainError
from api.errors import status_of
from cloudaccounts.models import CloudAccount
from cloudaccounts.services import create_account
from deploys.models import Host
from deploys.services.catalogue import create_service, register_version
from deploys.services.hosts import create_host
from deploys.services.instances import add_instance
from notifications.services.subscriptions import create_subscription
from notifications.services.webhooks import create_webhook
from tenants.row_limits import KIND_LABELS, require_row_limit
from tenants.scoping import Role, Scope
from tenants.services import create_information_system
from tests.factories import InformationSystemFactory, MembershipFactory
from vms.services.ssh_keys import add_ssh_key
from vms.services.user_data_templates import add_template

ADDRESSES = iter(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(1, 100_000))


class Maker:
    """Return an administrator who creates one more row of each kind."""

    def __init__(self):
        member = MembershipFactory(role=Role.ADMIN)
        self.scope = Scope(member.user, member.tenant, Role.ADMIN)
        self.tenant = member.tenant
        self.system = InformationSystemFactory(tenant=member.tenant)
        self.made = 0

    def name(self):
        self.made += 1
        return f"made-{self.made}"

    def hosts(self):
        return create_host(scope=self.scope, fields={"hostname": self.name(), "ip": next(ADDRESSES)})

    def services(self):
        fields = {
            "information_system_id": self.system.pk,
            "name": self.name(),
            "folder": "/srv/" + self.name(),
            "port": 80,
        }
        return create_service(scope=self.scope, fields=fields)

    def information_systems(self):
        return create_information_system(scope=self.scope, fields={"name": self.name()})

    def cloud_accounts(self):
        fields = {
            "name": self.name(),
            "provider": "openstack",
            "auth_url": "http://127.0.0.1:1/v3",
            "access_id": "u",
            "project": "p",
            "secret": "s",
        }
        return create_account(scope=self.scope, fields=fields)

    def ssh_keys(self):
        public = (
            Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        )
        fields = {"name": self.name(), "public_key": public.decode(), "tenant": self.tenant.pk}
        return add_ssh_key(scope=self.scope, **fields)

    def user_data_templates(self):
        return add_template(scope=self.scope, name=self.name(), text="#cloud-config\n")

    def webhooks(self):
        fields = {"name": self.name(), "url": "http://127.0.0.1:9/", "codes": ["*"]}
        return create_webhook(scope=self.scope, fields=fields)

    def subscriptions(self):
        fields = {"name": self.name(), "channel": "mail", "codes": ["*"]}
        return create_subscription(scope=self.scope, fields=fields)

    def versions(self, service=None):
        service = service or self.system.services.first() or self.services()
        fields = {"label": self.name()}
        return register_version(scope=self.scope, service_id=service.pk, fields=fields)[0]

    def instances(self):
        service = self.services()
        version = self.versions(service)
        host = self.hosts()
        fields = {"host": host.pk, "version": version.pk, "port": 80}
        return add_instance(scope=self.scope, service_id=service.pk, fields=fields)


@pytest.mark.parametrize(
    "kind",
    [
        "hosts",
        "services",
        "information_systems",
        "cloud_accounts",
        "versions",
        "instances",
        "ssh_keys",
        "user_data_templates",
        "webhooks",
        "subscriptions",
    ],
)
def test_one_more_than_the_limit_is_refused_with_the_figures(db, settings, kind):
    first, other = Maker(), Maker()
    there = 1 if kind == "information_systems" else 0
    settings.TENANT_ROWS_AT_MOST = {kind: there + 2}

    for _number in range(2):
        getattr(first, kind)()
    with pytest.raises(DomainError) as refused:
        getattr(first, kind)()

    assert (status_of(refused.value), refused.value.code) == (409, "limit_reached")
    assert refused.value.details["limit"] == {"kind": kind, "needed": 1, "left": 0, "total": there + 2}
    assert f"{there + 2} " in str(refused.value.detail)
    getattr(other, kind)()


def test_every_kind_that_has_a_limit_has_a_name(settings):
    assert set(settings.TENANT_ROWS_AT_MOST) == set(KIND_LABELS)


def test_without_a_limit_nothing_is_locked_or_counted(db, settings, django_assert_num_queries):
    settings.TENANT_ROWS_AT_MOST = {"hosts": None}
    maker = Maker()

    with django_assert_num_queries(0):
        require_row_limit(maker.tenant, "hosts", Host.objects.all())
        require_row_limit(maker.tenant, "services", CloudAccount.objects.all())


@pytest.mark.django_db(transaction=True)
def test_many_who_add_at_once_do_not_pass_the_limit_together(settings):
    """Each request counts, waits until all others have counted or wait for the lock, and then writes."""
    settings.TENANT_ROWS_AT_MOST = {"hosts": 2}
    maker = Maker()
    counted = threading.Semaphore(0)
    start = threading.Barrier(4)
    outcomes = []

    def add(number):
        try:
            start.wait(10)
            with transaction.atomic():
                require_row_limit(maker.tenant, "hosts", Host.objects.filter(tenant=maker.tenant))
                counted.release()
                # Without the lock all four would have counted by now.
                if counted.acquire(timeout=0.2) and counted.acquire(timeout=0.2):
                    counted.release(2)
                Host.objects.create(tenant=maker.tenant, hostname=f"web-{number}", ip=f"10.9.9.{number + 1}")
            outcomes.append("made")
        except DomainError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == ["made", "made", "refused", "refused"]
    assert Host.objects.count() == 2
