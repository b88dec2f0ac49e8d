"""Versions in the admin, as an administrator enters, changes and removes them; and the trail of it all."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry

from deploys.models import MicroService, MicroServiceVersion
from tests.factories import (
    DeploymentFactory,
    DeploymentItemFactory,
    InstanceFactory,
    ServiceFactory,
    VersionFactory,
)

from .test_admin import administrator, columns, errors_of, messages_of, opened, send, staff_who_may, url

__all__ = ["administrator"]

pytestmark = pytest.mark.django_db
SIGNATURE = "s3cr3t"  # As in the address of every version that the factory makes.


# --- Versions ------------------------------------------------------------------------------------------------


BUILT = {
    "build_status": "success",
    "artifact_url": f"https://store.example.org/a.tar.gz?signature={SIGNATURE}",
    "sha256": "b" * 64,
}


def test_a_version_gets_the_next_number_of_its_service_whatever_is_sent(administrator):
    service = ServiceFactory(last_number=7)
    page = url(MicroServiceVersion, "add")

    for label in ("1.0", "1.1"):
        answer = send(administrator, page, **BUILT, service=str(service.pk), label=label, number="1")
        assert answer.status_code == 302, errors_of(answer)

    versions = MicroServiceVersion.objects.order_by("number")
    assert list(versions.values_list("label", "number")) == [("1.0", 8), ("1.1", 9)]
    assert all(one.built_at and one.created_by for one in versions)
    service.refresh_from_db()
    assert service.last_number == 9


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"label": "1/2"}, "label"),
        ({"build_status": "success"}, "artifact_url"),
        (BUILT | {"artifact_url": "file:///etc/passwd"}, "artifact_url"),
        (BUILT | {"artifact_url": "https://[1"}, "artifact_url"),
        (BUILT | {"sha256": "B" * 64}, "sha256"),
        ({"build_status": "magic"}, "build_status"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_version_that_could_not_be_deployed_is_refused_by_field(administrator, typed, field):
    service = ServiceFactory()
    page = url(MicroServiceVersion, "add")
    sent = {"service": str(service.pk), "label": "1.0", "build_status": "pending"} | typed

    assert field in errors_of(administrator.post(page, sent))
    assert not MicroServiceVersion.objects.exists()
    service.refresh_from_db()
    assert service.last_number == 0


def test_a_label_names_one_version_of_a_service(administrator):
    version = VersionFactory()
    typed = {"service": str(version.service_id), "label": version.label, "build_status": "pending"}

    answer = administrator.post(url(MicroServiceVersion, "add"), typed)

    assert "__all__" in errors_of(answer)
    version.service.refresh_from_db()
    assert version.service.last_number == version.number


def test_a_label_that_is_taken_after_the_check_is_a_message(administrator, monkeypatch):
    version = VersionFactory()
    monkeypatch.setattr("deploys.models.MicroServiceVersion.validate_constraints", lambda *_, **__: None)
    typed = {"service": str(version.service_id), "label": version.label, "build_status": "pending"}

    answer = administrator.post(url(MicroServiceVersion, "add"), typed)

    assert answer.status_code == 302
    assert messages_of(answer) == ["One of these values is already in use."]
    version.service.refresh_from_db()
    assert version.service.last_number == version.number
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("before", "after", "follows"),
    [
        ("pending", "building", True),
        ("building", "success", True),
        ("building", "pending", False),
        ("success", "building", False),
        ("failed", "success", False),
    ],
)
def test_a_build_goes_forwards_alone(administrator, before, after, follows):
    version = VersionFactory(build_status=before, built_at=None)

    answer = send(administrator, url(MicroServiceVersion, "change", version.pk), build_status=after)

    version.refresh_from_db()
    if follows:
        assert answer.status_code == 302, errors_of(answer)
        assert version.build_status == after
        assert (version.built_at is not None) == (after == "success")
    else:
        assert list(errors_of(answer)) == ["build_status"]
        assert version.build_status == before


def test_the_sum_of_a_deployed_version_stays_and_its_address_may_change(administrator):
    version = InstanceFactory().version
    page = url(MicroServiceVersion, "change", version.pk)

    other_sum = send(administrator, page, sha256="b" * 64)
    elsewhere = send(administrator, page, artifact_url="https://elsewhere.example.org/a.tar.gz")

    assert list(errors_of(other_sum)) == ["sha256"]
    assert elsewhere.status_code == 302
    version.refresh_from_db()
    assert (version.sha256, version.artifact_url) == ("a" * 64, "https://elsewhere.example.org/a.tar.gz")
    never_deployed = url(MicroServiceVersion, "change", VersionFactory().pk)
    assert send(administrator, never_deployed, sha256="b" * 64).status_code == 302


def test_service_and_label_of_a_version_are_not_changed(administrator):
    version = VersionFactory()

    send(
        administrator,
        url(MicroServiceVersion, "change", version.pk),
        label="9",
        service=str(ServiceFactory().pk),
    )

    assert columns(version) == vars_of(version)


def vars_of(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_build_that_ended_meanwhile_is_not_written_over(administrator):
    version = VersionFactory(build_status="building", artifact_url="", sha256="", built_at=None)
    page = url(MicroServiceVersion, "change", version.pk)
    typed = opened(administrator, page) | {"notes": "Slow."}
    MicroServiceVersion.objects.filter(pk=version.pk).update(**BUILT)
    before = columns(version)

    assert "__all__" in errors_of(administrator.post(page, typed))
    assert columns(version) == before


@pytest.mark.parametrize("kept_by", ["an instance", "a deployment", "what a deployment took off"])
def test_a_version_that_is_needed_is_kept_and_the_page_says_by_what(administrator, kept_by):
    version = VersionFactory()
    if kept_by == "an instance":
        InstanceFactory(version=version)
    elif kept_by == "a deployment":
        DeploymentFactory(from_version=version)
    else:
        DeploymentItemFactory(from_version=version)
    page = url(MicroServiceVersion, "delete", version.pk)

    answer = administrator.post(page, {"post": "yes"})

    assert answer.status_code == 200
    assert answer.context["protected"]
    assert MicroServiceVersion.objects.filter(pk=version.pk).exists()
    assert not LogEntry.objects.exists()


def test_a_version_that_nothing_needs_is_deleted(administrator):
    version = VersionFactory()

    answer = administrator.post(url(MicroServiceVersion, "delete", version.pk), {"post": "yes"})

    assert answer.status_code == 302
    assert not MicroServiceVersion.objects.exists()


# --- Both ----------------------------------------------------------------------------------------------------


def test_the_trail_names_fields_and_holds_no_values(administrator):
    version = VersionFactory()
    send(
        administrator,
        url(MicroServiceVersion, "change", version.pk),
        artifact_url=BUILT["artifact_url"] + "2",
    )
    settings = {"restart_command": ["restart", "--token=hunter2"]}
    send(
        administrator,
        url(MicroService, "change", version.service_id),
        executor_settings=json.dumps(settings),
    )
    administrator.post(url(MicroServiceVersion, "delete", version.pk), {"post": "yes"})

    entries = list(LogEntry.objects.order_by("pk"))

    assert [json.loads(one.change_message) for one in entries if one.is_change()] == [
        [{"changed": {"fields": ["Artifact"]}}],
        [{"changed": {"fields": ["Executor settings"]}}],
    ]
    assert entries[-1].is_deletion()
    written = " ".join(f"{one.object_repr} {one.change_message}" for one in entries)
    assert SIGNATURE not in written
    assert "hunter2" not in written


def test_who_may_only_look_finds_no_form_fields(administrator):
    version = VersionFactory()
    client = staff_who_may("view_microservice", "view_microserviceversion")

    for row in (version, version.service):
        page = url(type(row), "change", row.pk)
        shown = client.get(page)
        assert shown.status_code == 200
        assert "field-opened_hash" not in shown.content.decode()
        assert client.post(page, {"notes": "Mine."}).status_code == 403
