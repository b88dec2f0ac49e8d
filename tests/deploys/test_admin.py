"""Services and versions in the admin, as an administrator enters, changes and removes them."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from deploys.models import Deployment, MicroService, MicroServiceVersion
from tests.factories import (
    DeploymentFactory,
    InformationSystemFactory,
    InstanceFactory,
    ServiceFactory,
    UserFactory,
    VersionFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db):
    """A client that is signed in as somebody who may do everything."""
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


def staff_who_may(*codenames):
    """A client of somebody who may do these things alone."""
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def opened(client, address):
    """What the form at an address would send if nobody typed anything."""
    answer = client.get(address)
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {
        name: "on" if value is True else value
        for name, value in values.items()
        if value is not None and value is not False
    }


def send(client, address, **typed):
    """Open the form at an address, type that, and save."""
    return client.post(address, opened(client, address) | typed)


def errors_of(answer):
    """What the form says is wrong, by field."""
    assert answer.status_code == 200, answer
    return {name: list(texts) for name, texts in answer.context["adminform"].form.errors.items()}


def messages_of(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def columns(row):
    """All that the database has of a row."""
    return type(row).objects.filter(pk=row.pk).values().get()


def is_being_deployed(service):
    """Lock a service on a host as a deployment does; the instance."""
    version = VersionFactory(service=service)
    deployment = DeploymentFactory(from_version=version, ended_at=None)
    return InstanceFactory(version=version, locked=True, locked_by=deployment, status="upgrading")


# --- Services ------------------------------------------------------------------------------------------------


SERVICE = {
    "name": "shop",
    "folder": "/srv/shop",
    "port": "8080",
    "health_status": "200",
    "health_seconds": "60",
    "executor": "ansible",
    "executor_settings": '{"unit": "shop.service"}',
}


def test_a_service_is_added_and_changed(administrator):
    system = InformationSystemFactory()
    page = url(MicroService, "add")

    added = send(administrator, page, **SERVICE, information_system=str(system.pk))

    assert added.status_code == 302, errors_of(added)
    service = MicroService.objects.get()
    assert (service.name, service.version, service.executor_settings) == ("shop", 1, {"unit": "shop.service"})
    changed = send(administrator, url(MicroService, "change", service.pk), port="9000")
    assert changed.status_code == 302, errors_of(changed)
    service.refresh_from_db()
    assert (service.port, service.version) == (9000, 2)


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"folder": "srv/shop"}, "folder", "absolute path"),
        ({"folder": "/srv/../etc"}, "folder", "Enter it as"),
        ({"folder": "/srv/shop;id"}, "folder", "absolute path"),
        ({"name": "../shop"}, "name", "Letters"),
        ({"health_path": "no slash"}, "health_path", "starts with /"),
        ({"health_seconds": "61"}, "health_seconds", "60"),
        ({"executor": "magic"}, "executor", "ansible, command"),
        ({"executor_settings": "{"}, "executor_settings", "JSON"),
        ({"executor_settings": "null"}, "executor_settings", "object"),
        ({"executor_settings": "[]"}, "executor_settings", "object"),
        ({"executor_settings": "0"}, "executor_settings", "object"),
        ({"executor_settings": '"unit"'}, "executor_settings", "object"),
        ({"executor_settings": "[1]"}, "executor_settings", "object"),
        ({"executor_settings": "1.5"}, "executor_settings", "object"),
        ({"executor_settings": "{}"}, "executor_settings", "unit: "),
        ({"executor_settings": ""}, "executor_settings", "unit: "),
        ({"executor_settings": '{"unit": "a", "magic": 1}'}, "executor_settings", "magic: "),
        ({"executor_settings": '{"unit": null}'}, "executor_settings", "unit: "),
        ({"executor_settings": '{"unit": "a", "keep": [3]}'}, "executor_settings", "keep: "),
        ({"executor_settings": '{"unit": "a", "keep": NaN}'}, "executor_settings", "NaN"),
        ({"executor_settings": '{"unit": "a", "unit": "b"}'}, "executor_settings", "twice"),
        ({"executor_settings": '{"\\ud800": 1}'}, "executor_settings", "surrogate"),
        ({"executor_settings": '{"unit": "\\u0000"}'}, "executor_settings", "Null"),
        ({"executor_settings": '{"keep": 1%s}' % ("0" * 5000)}, "executor_settings", "JSON"),
        ({"executor_settings": "[" * 20_000}, "executor_settings", "JSON"),
        (
            {"executor": "command", "executor_settings": '{"program": ["a"]}'},
            "executor_settings",
            "program: ",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_service_that_could_not_be_deployed_is_refused_by_field(administrator, typed, field, said):
    system = InformationSystemFactory()
    page = url(MicroService, "add")

    answer = administrator.post(page, SERVICE | {"information_system": str(system.pk)} | typed)

    errors = errors_of(answer)
    assert list(errors) == [field]
    assert said in " ".join(errors[field])
    assert not MicroService.objects.exists()


def test_wrong_settings_are_shown_again_as_they_were_typed(administrator):
    service = ServiceFactory()
    typed = '{"unit":   "a", "magic": 1}'

    answer = send(administrator, url(MicroService, "change", service.pk), executor_settings=typed)

    assert answer.context["adminform"].form["executor_settings"].value() == typed


def test_two_services_of_a_system_do_not_have_one_name(administrator):
    taken, service = (
        ServiceFactory(information_system=system) for system in [InformationSystemFactory()] * 2
    )

    answer = send(administrator, url(MicroService, "change", service.pk), name=taken.name)

    assert "__all__" in errors_of(answer)


def test_a_service_stays_with_its_tenant(administrator):
    service = ServiceFactory()
    page = url(MicroService, "change", service.pk)
    before = columns(service)

    foreign = send(administrator, page, information_system=str(InformationSystemFactory().pk))

    assert list(errors_of(foreign)) == ["information_system"]
    assert columns(service) == before
    own = InformationSystemFactory(tenant=service.information_system.tenant)
    assert send(administrator, page, information_system=str(own.pk)).status_code == 302


def test_what_a_deployment_goes_by_stays_while_it_goes_on(administrator):
    service = ServiceFactory()
    is_being_deployed(service)
    page = url(MicroService, "change", service.pk)

    refused = send(administrator, page, folder="/srv/elsewhere")
    described = send(administrator, page, description="Sells things.")

    assert "deployment is in progress" in errors_of(refused)["__all__"][0]
    assert described.status_code == 302, errors_of(described)
    service.refresh_from_db()
    assert (service.folder, service.description) == ("/srv/service", "Sells things.")


def test_a_page_that_was_opened_before_somebody_elses_change_overwrites_nothing(administrator):
    service = ServiceFactory(description="Old.")
    page = url(MicroService, "change", service.pk)
    typed = opened(administrator, page) | {"language": "Go"}
    assert send(administrator, page, description="New.").status_code == 302
    before = columns(service)

    answer = administrator.post(page, typed)

    assert "Modified by someone else since you opened this page" in errors_of(answer)["__all__"][0]
    assert columns(service) == before
    # The form that came back is still the old one: sending it once more changes nothing either.
    again = opened_of(answer)
    assert "__all__" in errors_of(administrator.post(page, again))


def opened_of(answer):
    form = answer.context["adminform"].form
    return {name: form[name].value() for name in form.fields if form[name].value() is not None}


def test_a_service_that_was_deployed_goes_with_its_history(administrator):
    deployment = DeploymentFactory()
    other = VersionFactory()
    page = url(MicroService, "delete", deployment.service.pk)

    asked = administrator.get(page)
    done = administrator.post(page, {"post": "yes"})

    assert not asked.context["protected"]
    assert done.status_code == 302
    assert not Deployment.objects.exists()
    assert list(MicroServiceVersion.objects.all()) == [other]
    assert LogEntry.objects.get().is_deletion()


@pytest.mark.parametrize("kept_by", ["an instance", "a deployment"])
def test_a_service_in_use_is_kept_and_the_page_says_by_what(administrator, kept_by):
    service = ServiceFactory()
    if kept_by == "an instance":
        kept = InstanceFactory(version__service=service)
    else:
        kept = DeploymentFactory(from_version__service=service, ended_at=None)
    page = url(MicroService, "delete", service.pk)

    answer = administrator.post(page, {"post": "yes"})

    assert answer.status_code == 200
    assert answer.context["protected"] == [str(kept)]
    assert MicroService.objects.filter(pk=service.pk).exists()
    assert not LogEntry.objects.exists()


def test_who_may_not_delete_versions_deletes_no_service_with_them(administrator):
    service = VersionFactory().service
    client = staff_who_may("view_microservice", "delete_microservice")

    answer = client.post(url(MicroService, "delete", service.pk), {"post": "yes"})

    assert answer.status_code == 403
    assert MicroService.objects.filter(pk=service.pk).exists()


def test_a_refusal_that_comes_after_the_check_is_a_message(administrator, monkeypatch):
    instance = InstanceFactory()
    page = url(MicroService, "delete", instance.service.pk)
    # As if the instance had been entered between the question and the deletion.
    monkeypatch.setattr(
        "deploys.admin.catalogue.MicroServiceAdmin.get_deleted_objects", lambda *_: ([], {}, set(), [])
    )

    answer = administrator.post(page, {"post": "yes"})

    assert (answer.status_code, answer["Location"]) == (302, page)
    assert messages_of(answer) == ["The service has instances on 1 hosts. Remove them first."]
    assert not LogEntry.objects.exists()
