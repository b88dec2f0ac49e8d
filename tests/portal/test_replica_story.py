"""Lists from a real standby: whose changes they show, who may read them, and what happens without the standby.

Most tests pause the standby's replay. What is committed then is on the primary alone, so a list tells where it was read.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from inspect import unwrap

import pytest
import requests
from django.db.models.functions import Now
from django.test import Client
from django.urls import get_resolver
from rest_framework.mixins import ListModelMixin

from api.models import ApiToken
from api.replica.routing import REPLICATED_MODELS, REPLICATED_ROOMS
from cloudaccounts.models import CatalogueGrant
from tasks.models import Job
from tenants.scoped_views import ScopedView
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    InformationSystemFactory,
    MembershipFactory,
    UserFactory,
    VirtualMachineFactory,
)
from tests.standby import start_standby
from tests.web_processes import start_web_process
from tests.working import wait_for

THREADS = 4
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.story, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def standby(django_db_setup):
    with start_standby() as standby:
        yield standby


@contextmanager
def serve(folder, standby, *, max_lag=600):
    """Serve the portal with the standby as its replica, in use."""
    environment = {
        "DATABASE_REPLICA_URL": standby.url,
        "DATABASE_REPLICA_MAX_LAG_SECONDS": str(max_lag),
        "JOB_EVENTS_SECONDS": "30",
    }
    with start_web_process(folder, threads=THREADS, environment=environment) as portal:
        wait_for_state(portal, "in_use")
        yield portal


@pytest.fixture(scope="module")
def portal(standby, tmp_path_factory):
    with serve(tmp_path_factory.mktemp("web"), standby) as portal:
        yield portal


def fetch_health(portal):
    answer = requests.get(f"{portal.url}/health/ready", timeout=30)
    return answer.json()


def wait_for_state(portal, state):
    wait_for(f"the replica is {state}", lambda: fetch_health(portal)["replica"]["state"] == state, 60)


def count_reads(portal, server):
    """Return the number of lists that a server has given, by reason."""
    lines = requests.get(f"{portal.url}/metrics", timeout=30).text.splitlines()
    found = [line for line in lines if line.startswith("portal_replica_reads_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in found if f'server="{server}"' in line)


class Person:
    """A member of a tenant with a token, and a session for pages."""

    def __init__(self, portal, tenant, role=Role.ADMIN, *, user=None):
        self.portal = portal
        self.user = user or UserFactory()
        self.membership = MembershipFactory(user=self.user, tenant=tenant, role=role) if tenant else None
        _row, token = ApiToken.objects.create(user=self.user, name="test", expiry=None)
        self.authorization = {"Authorization": f"Token {token}"}
        client = Client()
        client.force_login(self.user)
        self.cookies = {name: morsel.value for name, morsel in client.cookies.items()}

    def get(self, path):
        return requests.get(f"{self.portal.url}/api/v1/{path}", headers=self.authorization, timeout=30)

    def post(self, path, body):
        url = f"{self.portal.url}/api/v1/{path}"
        return requests.post(url, json=body, headers=self.authorization, timeout=30)

    def page(self, path):
        return requests.get(f"{self.portal.url}/{path}", cookies=self.cookies, timeout=30)

    def names(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["results"]]


@pytest.fixture
def system(transactional_db):
    return InformationSystemFactory(name="shop")


def test_lists_and_their_pages_are_read_from_the_standby_and_single_objects_from_the_primary(
    standby, portal, system
):
    reader, visitor = Person(portal, system.tenant), Person(portal, system.tenant)
    VirtualMachineFactory(information_system=system, name="old")
    with standby.paused():
        vm = VirtualMachineFactory(information_system=system, name="new")

        assert reader.names("vms/") == ["old"]
        page = visitor.page("vms/")
        assert (page.status_code, "old" in page.text, ">new<" in page.text) == (200, True, False)
        assert reader.get(f"vms/{vm.pk}/").json()["name"] == "new"
        assert reader.names("vms/") == ["new", "old"], "a list is older than what the user has seen"

    wait_for("the standby has the VM", lambda: ">new<" in visitor.page("vms/").text)


def list_addresses():
    """The addresses of all lists that may be read from the standby and belong to no single object, from the URL map."""
    found = {"api": [], "pages": []}

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, path)
            elif "<" not in path:
                view = getattr(pattern.callback, "view_class", None)
                if view and issubclass(view, ScopedView) and issubclass(view, ListModelMixin):
                    if not is_replicated(view.queryset.model):
                        continue  # Its rows decide about access: service accounts, requests for approval.
                    found["api"].append(path.removeprefix("api/v1/"))
                elif getattr(unwrap(pattern.callback, stop=is_marked), "reads_replica", False):
                    found["pages"].append(path)

    walk(get_resolver().url_patterns, "")
    return found["api"], found["pages"]


def is_replicated(model):
    options = model._meta
    return options.app_label in REPLICATED_ROOMS or options.label_lower in REPLICATED_MODELS


def is_marked(view):
    return hasattr(view, "reads_replica") and not hasattr(getattr(view, "__wrapped__", None), "reads_replica")


def test_every_list_is_read_from_the_standby(standby, portal, system):
    reader = Person(portal, system.tenant)
    VirtualMachineFactory(information_system=system)
    paths, pages = list_addresses()
    pages[pages.index("search/")] += "?q=vm"
    assert len(paths) > 15
    assert len(pages) > 15
    wait_for("the standby has the VM", lambda: reader.page("vms/").ok and len(reader.names("vms/")) == 1)
    missed = []
    for request, path in [*((reader.get, path) for path in paths), *((reader.page, path) for path in pages)]:
        before = count_reads(portal, "replica")
        answer = request(path)
        if (answer.status_code, count_reads(portal, "replica")) != (200, before + 1):
            missed.append((answer.url, answer.status_code))
    assert not missed, str(missed)


def test_rows_that_the_standby_does_not_have_yet_are_not_missing(standby, portal, system):
    reader = Person(portal, system.tenant)
    before = count_reads(portal, "primary")
    with standby.paused():
        vm = VirtualMachineFactory(information_system=system)

        assert reader.get(f"vms/{vm.pk}/operations/").status_code == 200
        assert reader.get(f"vms/{system.pk}/operations/").status_code == 404
    assert count_reads(portal, "primary") >= before + 2


def test_a_user_sees_their_own_changes_at_once(standby, portal, system):
    author, other = Person(portal, system.tenant), Person(portal, system.tenant)
    with standby.paused():
        made = author.post("information-systems/", {"name": "blog"})
        assert made.status_code == 201, made.text

        assert author.names("information-systems/") == ["blog", "shop"]
        assert "blog" in author.page("systems/").text, "a change by token shows on the page, too"
        # A portal that found the standby slow asks the primary for some seconds.
        wait_for("the standby is asked", lambda: other.names("information-systems/") == ["shop"])

    wait_for("the standby has the change", lambda: other.names("information-systems/") == ["blog", "shop"])

    def is_read_from_the_standby():
        before = count_reads(portal, "replica")
        assert author.names("information-systems/") == ["blog", "shop"]
        return count_reads(portal, "replica") == before + 1

    # The author's position is a little behind the change: what was written in between has to be replayed, too.
    wait_for("the author reads from the standby again", is_read_from_the_standby)


def test_a_list_after_an_event_shows_what_the_event_has_told(standby, portal, system):
    vm = VirtualMachineFactory(information_system=system)
    actor, reader = Person(portal, system.tenant), Person(portal, system.tenant)
    with standby.paused():
        job_id = actor.post(f"vms/{vm.pk}/actions/", {"action": "start"}).json()["job"]["id"]
        wait_for("the standby is asked", lambda: reader.get("jobs/").json()["results"] == [])
        url = f"{portal.url}/api/v1/jobs/{job_id}/events/"
        with requests.get(url, headers=reader.authorization, stream=True, timeout=30) as stream:
            lines = stream.iter_lines(decode_unicode=True)
            statuses = (
                json.loads(line.removeprefix("data: "))["status"]
                for line in lines
                if line.startswith("data: ") and "description" in line
            )
            assert next(statuses) == "queued"
            # As the engine would: no request of anybody.
            Job.objects.filter(pk=job_id).update(status="cancelled", ended_at=Now())
            assert next(statuses) == "cancelled"

        (listed,) = reader.get("jobs/").json()["results"]
        assert listed["status"] == "cancelled"


def test_access_ends_at_once(standby, portal, system):
    # Each for one request: the first answer of the primary sends the next request there, too.
    member, visitor, staff, holder = (Person(portal, system.tenant) for _ in range(4))
    staff.user.is_staff = True
    staff.user.save()
    staff.membership.delete()
    VirtualMachineFactory(information_system=system, name="secret")
    # Staff without permissions see the tenants that they are members of, by a query that joins memberships.
    guest = MembershipFactory(user=staff.user, tenant=system.tenant)
    with standby.paused():
        assert [person.names("vms/") for person in (member, holder)] == [["secret"]] * 2
        assert "secret" in visitor.page("vms/").text
        before = count_reads(portal, "replica")
        member.membership.delete()
        visitor.membership.delete()
        guest.delete()
        ApiToken.objects.filter(user=holder.user).delete()

        refused = member.get("vms/")
        assert (refused.status_code, refused.json()["code"]) == (403, "no_tenant")
        assert visitor.page("vms/").status_code == 403
        assert staff.names("vms/") == []
        assert holder.get("vms/").status_code == 401
        assert count_reads(portal, "replica") == before


def test_rows_that_are_taken_away_are_gone_at_once(standby, portal, system):
    mover, former, staff = (Person(portal, system.tenant) for _ in range(3))
    target = InformationSystemFactory()
    MembershipFactory(user=mover.user, tenant=target.tenant, role=Role.ADMIN)
    staff.user.is_staff = staff.user.is_superuser = True
    staff.user.save()
    mover.authorization["X-Tenant"] = system.tenant.slug
    account = CloudAccountFactory(grants=False)
    network = CloudResourceFactory(account=account, type="network", cloud_id="net-1", name="net")
    grant = CatalogueGrant.objects.create(
        account=account, kind="network", cloud_id="net-1", tenant=system.tenant
    )
    vm = VirtualMachineFactory(information_system=system, name="moving")
    with standby.paused():
        assert (former.names("vms/"), former.names("cloud-resources/")) == (["moving"], [network.name])

        moved = mover.post(f"vms/{vm.pk}/move/", {"information_system": str(target.pk)})
        assert moved.status_code < 300, moved.text
        assert former.names("vms/") == []
    wait_for("the standby is used again", lambda: count_reads_of(former, "cloud-resources/", "replica"))
    with standby.paused():
        assert former.names("cloud-resources/") == [network.name]
        url = f"{portal.url}/api/v1/catalogue-grants/{grant.pk}/"
        revoked = requests.delete(url, headers=staff.authorization, timeout=30)
        assert revoked.status_code < 300, revoked.text
        assert former.names("cloud-resources/") == []


def count_reads_of(person, path, server):
    """Return the number of lists that a server gives when this one is read."""
    before = count_reads(person.portal, server)
    person.names(path)
    return count_reads(person.portal, server) - before


@contextmanager
def readers_at_work(portal, system):
    """As many readers as the web process has threads, one request after the other; yields the statuses of the answers."""
    readers = [Person(portal, system.tenant) for _ in range(THREADS)]
    VirtualMachineFactory(information_system=system, name="shop-1")
    statuses, stopped = [], threading.Event()

    def read(reader):
        while not stopped.is_set():
            try:
                statuses.append(reader.get("vms/").status_code)
            except requests.RequestException as error:
                statuses.append(str(error))

    threads = [threading.Thread(target=read, args=[reader]) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        wait_for_reads(portal, "replica", 5 * THREADS)
        yield statuses
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def wait_for_reads(portal, server, count=1):
    before = count_reads(portal, server)
    wait_for(f"lists are read from the {server}", lambda: count_reads(portal, server) >= before + count, 60)


def test_a_standby_that_dies_fails_no_request_and_is_used_again(standby, portal, system):
    with readers_at_work(portal, system) as statuses:
        standby.kill()
        wait_for_state(portal, "away")
        health = fetch_health(portal)
        assert (health["database"], health["replica"]["lag_seconds"]) == ("ok", None)
        assert "replica" not in health["problems"]
        wait_for_reads(portal, "primary")
        standby.server.prepare()
        standby.start()
        wait_for_state(portal, "in_use")
        wait_for_reads(portal, "replica")
    assert set(statuses) == {200}


def test_a_standby_that_hangs_holds_no_request(standby, portal, system):
    with readers_at_work(portal, system) as statuses:
        with standby.frozen():
            # Each thread of the web process has a connection, and waits for the answer to its query.
            known = len(statuses)
            wait_for("the requests are answered", lambda: len(statuses) >= known + 5 * THREADS, 60)
            wait_for_state(portal, "away")
        wait_for_state(portal, "in_use")
    assert set(statuses) == {200}


def test_a_standby_that_is_too_far_behind_is_not_used(standby, tmp_path, system):
    with serve(tmp_path, standby, max_lag=2) as portal, standby.paused():
        VirtualMachineFactory(information_system=system, name="new")
        wait_for_state(portal, "behind")

        assert Person(portal, system.tenant).names("vms/") == ["new"]
    # The standby that has replayed everything is used again, although nothing was written since.


def test_a_promoted_standby_is_not_used(tmp_path, system):
    with start_standby() as standby, serve(tmp_path, standby) as portal:
        reader = Person(portal, system.tenant)
        assert standby.fetch("SELECT pg_promote()")
        wait_for_state(portal, "not_a_standby")
        VirtualMachineFactory(information_system=system, name="new")

        assert reader.names("vms/") == ["new"]
        assert "portal_replica_up 0.0" in requests.get(f"{portal.url}/metrics", timeout=30).text
