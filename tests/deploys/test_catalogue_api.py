"""Services and versions over REST: entered, registered by CI, changed, removed."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection
from rest_framework.test import APIClient

from api.models import ApiToken
from deploys.models import MicroService, MicroServiceVersion
from deploys.models.catalogue import ServiceQuerySet
from deploys.services import catalogue
from tenants.scoping import Role, Scope
from tests.factories import (
    DeploymentFactory,
    InformationSystemFactory,
    InstanceFactory,
    MembershipFactory,
    ServiceFactory,
    VersionFactory,
)

pytestmark = pytest.mark.django_db
URL = "/api/v1/services/"
BUILT = {
    "label": "1.4.0",
    "build_status": "success",
    "artifact_url": "https://ci.example.org/shop-1.4.0.tar.gz?signature=s3cr3t",
    "sha256": "b" * 64,
}


@pytest.fixture
def system(member):
    return InformationSystemFactory(tenant=member.tenant)


@pytest.fixture
def service(system):
    return ServiceFactory(information_system=system, name="shop")


@pytest.fixture
def viewer(member, client_of):
    return client_of(MembershipFactory(tenant=member.tenant, role=Role.VIEWER).user)


def fields(system, **more):
    return {
        "information_system": str(system.pk),
        "name": "cart",
        "folder": "/srv/cart",
        "port": 8080,
        "executor": "ansible",
        "executor_settings": {"unit": "cart.service"},
        **more,
    }


def versions_of(service):
    return f"{URL}{service.pk}/versions/"


def register(client, service, **more):
    return client.post(versions_of(service), {**BUILT, **more}, format="json")


# --- Services ----------------------------------------------------------------------------------------------


def test_a_service_is_entered_read_changed_and_removed(admin_client, system):
    made = admin_client.post(URL, fields(system, health_path="/health"), format="json")
    assert made.status_code == 201, made.content
    assert made.json().items() >= fields(system).items()
    url = f"{URL}{made.json()['id']}/"
    read = admin_client.get(url)
    assert (read.json(), read["ETag"]) == (made.json(), made["ETag"])

    changed = admin_client.patch(url, {"port": 81}, format="json", headers={"If-Match": read["ETag"]})
    stale = admin_client.patch(url, {"port": 82}, format="json", headers={"If-Match": read["ETag"]})

    assert (changed.status_code, changed.json()["port"], changed.json()["version"]) == (200, 81, 2)
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert admin_client.delete(url).status_code == 204
    assert admin_client.get(url).status_code == 404


def test_services_are_filtered_and_searched(client, member, service):
    other = ServiceFactory(information_system__tenant=member.tenant, name="cart", description="Holds goods.")

    def listed(query):
        return [one["id"] for one in client.get(f"{URL}?{query}").json()["results"]]

    assert listed(f"information_system={service.information_system_id}") == [str(service.pk)]
    assert listed("search=goods") == [str(other.pk)]
    assert listed("ordering=name") == [str(other.pk), str(service.pk)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"executor": "magic"}, "executor"),
        ({"executor_settings": {}}, "executor_settings"),
        ({"executor_settings": {"unit": "x.service", "colour": "red"}}, "executor_settings"),
        ({"executor_settings": {"unit": "x.service", "playbook": ["deploy"]}}, "executor_settings"),
        ({"executor_settings": ["unit"]}, "executor_settings"),
        ({"folder": "srv/cart"}, "folder"),
        ({"folder": "/srv/../etc"}, "folder"),
        ({"name": "a b"}, "name"),
        ({"name": "../x"}, "name"),
        ({"port": 0}, "port"),
        ({"health_path": "health"}, "health_path"),
        ({"health_path": "/a b"}, "health_path"),
        ({"health_seconds": 0}, "health_seconds"),
        ({"last_number": 7}, "last_number"),
        ({"version": 7}, "version"),
    ],
)
def test_what_no_executor_could_deploy_is_refused_by_field(admin_client, system, changes, field):
    answer = admin_client.post(URL, fields(system, **changes), format="json")

    assert answer.status_code == 400, answer.content
    assert set(answer.json()["errors"]) == {field}


def test_an_unknown_executor_is_told_the_known_ones(admin_client, system):
    answer = admin_client.post(URL, fields(system, executor="magic"), format="json")

    assert "ansible, command" in answer.json()["errors"]["executor"][0]


def test_another_tenants_system_is_as_unknown_as_one_that_never_was(admin_client, service):
    foreign = InformationSystemFactory()

    made = admin_client.post(URL, fields(foreign), format="json")
    moved = admin_client.patch(f"{URL}{service.pk}/", {"information_system": str(foreign.pk)}, format="json")

    for answer in (made, moved):
        assert answer.status_code == 400
        assert answer.json()["errors"] == {
            "information_system": [f'Invalid pk "{foreign.pk}" - object does not exist.']
        }


def test_a_name_is_taken_once_in_a_system(admin_client, service, member):
    system = service.information_system

    taken = admin_client.post(URL, fields(system, name="shop"), format="json")
    elsewhere = admin_client.post(
        URL, fields(InformationSystemFactory(tenant=member.tenant), name="shop"), format="json"
    )

    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert elsewhere.status_code == 201


def test_a_service_that_runs_somewhere_stays_and_one_with_a_history_goes(admin_client, service):
    instance = InstanceFactory(version__service=service)
    DeploymentFactory(from_version=instance.version)
    url = f"{URL}{service.pk}/"

    assert admin_client.delete(url).json()["code"] == "in_use"
    instance.delete()
    assert admin_client.delete(url).status_code == 204


def test_how_a_service_is_deployed_stays_while_it_is_being_deployed(admin_client, service):
    InstanceFactory(version__service=service, locked=True)
    url = f"{URL}{service.pk}/"

    assert admin_client.patch(url, {"folder": "/x"}, format="json").json()["code"] == "being_deployed"
    assert admin_client.patch(url, {"description": "Sells."}, format="json").status_code == 200


# --- Versions ----------------------------------------------------------------------------------------------


def test_ci_registers_versions_with_a_token(member, service):
    _row, token = ApiToken.objects.create(user=member.user, name="ci", expiry=None)
    ci = APIClient()
    ci.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    first = register(ci, service)
    second = register(ci, service, label="1.3.9", notes="A fix.\nFor the old line.")

    assert [answer.status_code for answer in (first, second)] == [201, 201]
    assert [answer.json()["number"] for answer in (first, second)] == [1, 2]
    assert first.json()["created_by"] == member.user.username
    assert first.json()["built_at"]
    listed = ci.get(versions_of(service)).json()["results"]
    assert [one["label"] for one in listed] == ["1.3.9", "1.4.0"]
    assert ci.get(versions_of(service) + "?search=old+line").json()["count"] == 1
    assert ci.get(versions_of(service) + "?build_status=failed").json()["count"] == 0


def test_the_same_again_is_found_and_another_content_is_refused(client, service):
    first = register(client, service)

    again, other = register(client, service), register(client, service, sha256="c" * 64)

    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "label_taken")
    assert set(other.json()["errors"]) == {"sha256"}
    assert MicroServiceVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": ""}, "label"),
        ({"label": "1 0"}, "label"),
        ({"label": "a/b"}, "label"),
        ({"sha256": "B" * 64}, "sha256"),
        ({"sha256": "b" * 63}, "sha256"),
        ({"sha256": ""}, "sha256"),
        ({"artifact_url": ""}, "artifact_url"),
        ({"artifact_url": "file:///etc/passwd"}, "artifact_url"),
        ({"artifact_url": "https://"}, "artifact_url"),
        ({"build_status": "done"}, "build_status"),
        ({"number": 7}, "number"),
    ],
)
def test_a_version_that_could_not_be_deployed_is_refused_by_field(client, service, changes, field):
    answer = register(client, service, **changes)

    assert answer.status_code == 400, answer.content
    assert set(answer.json()["errors"]) == {field}


def test_the_artifacts_address_is_not_for_viewers(client, viewer, service):
    version = VersionFactory(service=service)
    url = f"{versions_of(service)}{version.pk}/"

    assert client.get(url).json()["artifact_url"] == version.artifact_url
    assert viewer.get(url).json()["artifact_url"] is None
    assert b"s3cr3t" not in viewer.get(versions_of(service)).content


def test_a_build_goes_forward_alone(client, service):
    version = VersionFactory(
        service=service, build_status="pending", artifact_url="", sha256="", built_at=None
    )
    url = f"{versions_of(service)}{version.pk}/"

    def patch(**changes):
        return client.patch(url, changes, format="json")

    assert patch(build_status="building").status_code == 200
    back = patch(build_status="pending")
    assert (back.status_code, back.json()["allowed"]) == (409, ["success", "failed", "cancelled"])
    assert set(patch(build_status="success").json()["errors"]) == {"artifact_url", "sha256"}
    built = patch(build_status="success", artifact_url=BUILT["artifact_url"], sha256=BUILT["sha256"])
    assert built.status_code == 200
    assert built.json()["built_at"]
    assert patch(build_status="failed").json()["code"] == "wrong_state"


def test_the_sum_of_what_was_deployed_stays_and_its_address_may_change(client, service):
    old, new = VersionFactory.create_batch(2, service=service)

    def patch(version, **changes):
        return client.patch(f"{versions_of(service)}{version.pk}/", changes, format="json")

    assert patch(new, sha256="c" * 64).status_code == 200
    DeploymentFactory(from_version=old, to_version=new)
    for version in (old, new):
        refused = patch(version, sha256="d" * 64)
        assert (refused.status_code, refused.json()["code"]) == (409, "deployed_already")
        assert patch(version, artifact_url="https://ci.example.org/signed-anew").status_code == 200


def test_a_version_that_is_needed_stays(admin_client, service):
    running, told, free = VersionFactory.create_batch(3, service=service)
    InstanceFactory(version=running)
    DeploymentFactory(from_version=running, to_version=told)

    answers = [admin_client.delete(f"{versions_of(service)}{one.pk}/") for one in (running, told, free)]

    assert [answer.status_code for answer in answers] == [409, 409, 204]
    assert answers[0].json()["code"] == "in_use"
    assert register(admin_client, service).json()["number"] == 4  # A number is never given again.


# --- Two at once -------------------------------------------------------------------------------------------


def registered_at_once(member, service, count=4):
    """Register so many versions at the same moment: their numbers, or what was raised."""
    together, came = threading.Barrier(count), []
    scope = Scope(member.user, member.tenant, Role.OPERATOR)

    def one(number):
        try:
            together.wait(10)
            version, _is_new = catalogue.register_version(
                scope=scope, service_id=service.pk, fields={"label": f"1.{number}"}
            )
            came.append(version.number)
        except Exception as error:  # noqa: BLE001 - looked at by the test.
            came.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[number]) for number in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return came


@pytest.fixture
def slowly(monkeypatch):
    """Between reading the last number and writing the next, time passes."""
    look = catalogue.find_version_by_label

    def look_slowly(service, label):
        time.sleep(0.1)
        return look(service, label)

    monkeypatch.setattr(catalogue, "find_version_by_label", look_slowly)


@pytest.mark.django_db(transaction=True)
def test_those_who_register_at_once_get_different_numbers(member, service, slowly):
    came = registered_at_once(member, service)

    assert sorted(came) == [1, 2, 3, 4]
    assert MicroService.objects.get(pk=service.pk).last_number == 4


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_they_get_the_same_number(member, service, slowly, monkeypatch):
    """The race is real: what keeps the doubles out then is only the constraint, and all but one are refused."""
    monkeypatch.setattr(ServiceQuerySet, "select_for_update", lambda self, **_how: self)

    came = registered_at_once(member, service)

    assert [one for one in came if isinstance(one, Exception)]
