"""Upgrade and revert over REST: what is offered, what is refused, what is recorded."""

from __future__ import annotations

import pytest
from django.utils import timezone

from deploys.models import Deployment, DeploymentItem, MicroServiceInstance
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    DeploymentFactory,
    DeploymentItemFactory,
    HostFactory,
    InstanceFactory,
    MembershipFactory,
    ServiceFactory,
    VersionFactory,
)

pytestmark = pytest.mark.django_db
WRONG_BATCHES = [0, -1, 1.5, True, None, "", "x", "1", "0%", "101%", "-5%", "5.5%", "\u0663%", [1]]


@pytest.fixture
def service(member):
    return ServiceFactory(information_system__tenant=member.tenant, name="shop")


@pytest.fixture
def versions(service):
    """Four, of which the third is not built."""
    made = [VersionFactory(service=service) for _ in range(2)]
    made.append(VersionFactory(service=service, build_status="failed"))
    return [*made, VersionFactory(service=service)]


@pytest.fixture
def running(versions):
    """Three hosts that run the second version."""
    return sorted(InstanceFactory.create_batch(3, version=versions[1]), key=lambda one: one.pk)


def url_of(version, action="upgrade"):
    return f"/api/v1/services/{version.service_id}/versions/{version.pk}/{action}/"


def wish(version, **more):
    return {"dest_version": str(version.pk), "hosts": "all", **more}


def ask(client, version, body, action="upgrade", **headers):
    return client.post(url_of(version, action), body, format="json", headers=headers)


# --- Candidates --------------------------------------------------------------------------------------------


def test_an_upgrade_offers_what_was_built_and_enables_what_is_higher(client, versions):
    first, second, _failed, fourth = versions

    found = client.get(url_of(second)).json()

    assert [set(one) for one in found] == [{"id", "version", "number", "enabled", "default", "built_at"}] * 3
    assert [one["id"] for one in found] == [str(one.pk) for one in (fourth, second, first)]
    assert [one["enabled"] for one in found] == [True, False, False]
    assert not any(one["default"] for one in found)


def test_a_revert_enables_what_is_lower_and_marks_what_ran_before(client, versions):
    first, second, _failed, fourth = versions
    DeploymentFactory(from_version=first, to_version=fourth)

    found = client.get(url_of(fourth, "revert")).json()

    assert [one["enabled"] for one in found] == [False, True, True]
    assert [one["id"] for one in found if one["default"]] == [str(first.pk)]
    assert str(second.pk) in {one["id"] for one in found}


@pytest.mark.parametrize("word", ["sideways", "Upgrade", "upgrade-all", "versions"])
def test_another_word_is_404(client, versions, word):
    assert client.get(url_of(versions[1], word)).status_code == 404
    assert ask(client, versions[1], wish(versions[3]), word).status_code == 404


# --- An upgrade --------------------------------------------------------------------------------------------


def test_an_upgrade_locks_its_instances_and_is_followed_by_its_job(client, member, versions, running):
    answer = ask(client, versions[1], wish(versions[3], strategy={"batch": 2}))

    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert set(body) == {"deployment", "plan", "job"}
    assert answer["Location"] == f"/api/v1/jobs/{body['job']['id']}/"
    ordered = [str(one.pk) for one in sorted(running, key=lambda one: (one.host.hostname, one.pk))]
    planned = [[one["instance"] for one in batch] for batch in body["plan"]["batches"]]
    assert planned == [ordered[:2], ordered[2:]]
    deployment = Deployment.objects.get(pk=body["deployment"]["id"])
    assert (deployment.operator, str(deployment.job_id)) == (member.user, body["job"]["id"])
    assert body["deployment"]["counts"]["waiting"] == 3
    for one in MicroServiceInstance.objects.all():
        assert (one.locked, one.locked_by, one.status) == (True, deployment, "upgrading")


def test_a_revert_goes_the_other_way(client, versions, running):
    answer = ask(client, versions[1], wish(versions[0]), "revert")

    assert answer.status_code == 202
    assert set(MicroServiceInstance.objects.values_list("status", flat=True)) == {"reverting"}


def test_some_hosts_alone(client, versions, running):
    chosen = str(running[1].host_id)

    answer = ask(client, versions[1], wish(versions[3], hosts=[chosen]))

    assert answer.status_code == 202
    assert set(MicroServiceInstance.objects.filter(locked=True)) == {running[1]}


@pytest.mark.parametrize("how", ["body", "query"])
def test_a_dry_run_says_the_plan_and_changes_nothing(client, versions, running, how):
    body = wish(versions[3], strategy={"batch": "50%"}, **({"dry_run": True} if how == "body" else {}))
    address = url_of(versions[1]) + ("?dry_run=true" if how == "query" else "")

    answer = client.post(address, body, format="json")

    assert answer.status_code == 200
    assert (answer.json()["deployment"], answer.json()["job"]) == (None, None)
    assert [len(batch) for batch in answer.json()["plan"]["batches"]] == [1, 1, 1]
    assert not MicroServiceInstance.objects.filter(locked=True).exists()
    assert not Deployment.objects.exists()
    assert not Job.objects.exists()


def test_the_same_key_gets_the_same_deployment(client, versions, running):
    key = {"Idempotency-Key": "one"}

    first, again = (ask(client, versions[1], wish(versions[3]), **key) for _ in range(2))

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert (again["Location"], again["Idempotent-Replayed"]) == (first["Location"], "true")
    assert Deployment.objects.count() == 1
    other = ask(client, versions[1], wish(versions[3], mode="valid"), **key)
    assert other.status_code == 422


def test_who_comes_second_is_told_who_holds_them(client, member, versions, running):
    first = ask(client, versions[1], wish(versions[3])).json()

    second = ask(client, versions[1], wish(versions[3]))

    assert (second.status_code, second.json()["code"]) == (409, "locked")
    held = second.json()["instances"][0]
    assert held["deployment"] == first["deployment"]["id"]
    assert held["operator"] == member.user.username
    assert held["since"]


def test_those_under_maintenance_are_refused_or_left_out(client, versions, running):
    MicroServiceInstance.objects.filter(pk=running[0].pk).update(is_maintain=True)

    refused = ask(client, versions[1], wish(versions[3]))
    valid = ask(client, versions[1], wish(versions[3], mode="valid"))

    assert (refused.status_code, refused.json()["code"]) == (409, "under_maintenance")
    assert valid.status_code == 202
    left_out = valid.json()["plan"]["left_out"]
    assert [(one["instance"], one["code"]) for one in left_out] == [(str(running[0].pk), "under_maintenance")]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dest_version": None}, "dest_version"),
        ({"dest_version": "1.0"}, "dest_version"),
        ({"hosts": None}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ""}, "hosts"),
        ({"hosts": "some"}, "hosts"),
        ({"hosts": 7}, "hosts"),
        ({"hosts": {"all": True}}, "hosts"),
        ({"hosts": ["all"]}, "hosts"),
        ({"hosts": ["x"]}, "hosts"),
        ({"hosts": [None]}, "hosts"),
        ({"hosts": ["0b1c2d3e-0000-4000-8000-000000000001"] * 2}, "hosts"),
        ({"mode": "most"}, "mode"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"colour": "red"}, "colour"),
        ({"strategy": "fast"}, "strategy"),
        ({"strategy": {"speed": 1}}, "strategy"),
        *(({"strategy": {"batch": wrong}}, "strategy") for wrong in WRONG_BATCHES),
        *(({"strategy": {"pause": wrong}}, "strategy") for wrong in (-1, "x", None, 10**9)),
        *(({"strategy": {"max_failures": wrong}}, "strategy") for wrong in (-1, "x", None)),
        ({"strategy": {"auto_revert": "perhaps"}}, "strategy"),
    ],
)
def test_what_is_malformed_is_refused_by_field(client, versions, running, changes, field):
    answer = ask(client, versions[1], {**wish(versions[3]), **changes})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), answer.content
    assert field in answer.json()["errors"]
    assert not MicroServiceInstance.objects.filter(locked=True).exists()


@pytest.mark.parametrize("missing", ["dest_version", "hosts"])
def test_what_is_missing_is_refused_by_field(client, versions, running, missing):
    body = {name: value for name, value in wish(versions[3]).items() if name != missing}

    answer = ask(client, versions[1], body)

    assert (answer.status_code, set(answer.json()["errors"])) == (400, {missing})


def test_hosts_that_run_something_else_are_named(client, member, versions, running):
    idle = HostFactory(tenant=member.tenant)

    answer = ask(client, versions[1], wish(versions[3], hosts=[str(running[0].host_id), str(idle.pk)]))

    assert answer.status_code == 400
    assert str(idle.pk) in answer.json()["errors"]["hosts"][0]
    assert str(running[0].host_id) not in answer.json()["errors"]["hosts"][0]


def test_versions_that_cannot_be_the_target(client, versions, running):
    first, second, failed, _fourth = versions
    foreign = VersionFactory()

    assert ask(client, second, wish(foreign)).status_code == 404
    assert ask(client, second, wish(failed)).json()["code"] == "not_built"
    assert ask(client, second, wish(first)).json()["code"] == "wrong_side"
    assert ask(client, second, wish(second)).json()["code"] == "wrong_side"
    assert ask(client, second, wish(versions[3]), "revert").json()["code"] == "wrong_side"


def test_refusals_come_in_their_order(client_of, versions, running):
    viewer = client_of(MembershipFactory(tenant=running[0].host.tenant, role=Role.VIEWER).user)
    stranger = client_of(MembershipFactory(role=Role.ADMIN).user)

    for body in (wish(versions[3]), {"hosts": 7}):
        assert ask(stranger, versions[1], body).status_code == 404
        assert ask(viewer, versions[1], body).status_code == 403
    assert viewer.get(url_of(versions[1])).status_code == 200


# --- What was deployed -------------------------------------------------------------------------------------


def test_deployments_are_listed_read_and_filtered(client, member, versions, running):
    begun = ask(client, versions[1], wish(versions[3])).json()["deployment"]
    ended = DeploymentFactory(
        from_version=versions[3], to_version=versions[0], service=versions[0].service, action="revert"
    )
    DeploymentFactory()

    def listed(query=""):
        return [one["id"] for one in client.get(f"/api/v1/deployments/{query}").json()["results"]]

    assert set(listed()) == {begun["id"], str(ended.pk)}
    assert listed("?running=true") == [begun["id"]]
    assert listed("?running=false") == listed("?action=revert") == [str(ended.pk)]
    assert listed(f"?operator={member.user.username}") == [begun["id"]]
    assert len(listed(f"?service={versions[0].service_id}")) == 2
    read = client.get(f"/api/v1/deployments/{begun['id']}/").json()
    assert [item["result"] for item in read["items"]] == ["waiting"] * 3
    assert {item["host"] for item in read["items"]} == {str(one.host) for one in running}
    assert "log" not in read["items"][0]


def test_an_item_is_read_with_its_log(client, versions):
    item = DeploymentItemFactory(deployment__from_version=versions[0], deployment__to_version=versions[1])
    other = DeploymentItemFactory(deployment__from_version=versions[0], deployment__to_version=versions[3])
    address = f"/api/v1/deployments/{item.deployment_id}/items/"

    assert client.get(f"{address}{item.pk}/").json()["log"] == "It was done.\n"
    assert client.get(f"{address}{other.pk}/").status_code == 404
    history = client.get(
        f"/api/v1/services/{versions[0].service_id}/instances/{item.instance_id}/history/"
    ).json()["results"]
    assert [(one["id"], one["to_version_label"]) for one in history] == [(item.pk, versions[1].label)]


def test_what_was_not_begun_is_cancelled_and_frees_its_instances(client, versions, running):
    begun = ask(client, versions[1], wish(versions[3])).json()["deployment"]

    answer = client.post(f"/api/v1/deployments/{begun['id']}/cancel/")

    assert answer.status_code == 202
    assert answer.json()["job"]["id"] == begun["job"]
    assert Job.objects.get(pk=begun["job"]).cancel_requested_at or Job.objects.get(pk=begun["job"]).ended_at


def test_what_has_ended_is_not_cancelled(client, versions):
    ended = DeploymentFactory(from_version=versions[0], to_version=versions[1])

    answer = client.post(f"/api/v1/deployments/{ended.pk}/cancel/")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")


def test_a_retry_is_for_those_that_failed(client, versions, running):
    old = DeploymentFactory(from_version=versions[1], to_version=versions[3])
    for number, one in enumerate(running):
        failed = number == 0
        DeploymentItemFactory(deployment=old, instance=one, result="failed" if failed else "succeeded")
        if not failed:
            MicroServiceInstance.objects.filter(pk=one.pk).update(version=versions[3])

    answer = client.post(f"/api/v1/deployments/{old.pk}/retry/")

    assert answer.status_code == 202, answer.content
    assert answer.json()["deployment"]["retry_of"] == str(old.pk)
    assert set(MicroServiceInstance.objects.filter(locked=True)) == {running[0]}


def test_a_retry_is_refused_while_it_runs_and_when_all_went_well(client, versions, running):
    begun = DeploymentFactory(from_version=versions[1], to_version=versions[3], ended_at=None)

    answer = client.post(f"/api/v1/deployments/{begun.pk}/retry/")
    assert (answer.status_code, answer.json()["code"]) == (409, "still_running")

    Deployment.objects.filter(pk=begun.pk).update(ended_at=timezone.now())
    answer = client.post(f"/api/v1/deployments/{begun.pk}/retry/")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_failed")
    assert not DeploymentItem.objects.exists()


@pytest.mark.parametrize("verb", ["retry", "cancel"])
@pytest.mark.parametrize(
    ("query", "body", "field"),
    [("?dry_run=true", {}, "dry_run"), ("", {"dry_run": True}, "dry_run"), ("", {"hosts": ["x"]}, "hosts")],
)
def test_neither_a_retry_nor_a_cancel_passes_over_what_it_does_not_do(
    client, versions, running, verb, query, body, field
):
    begun = ask(client, versions[1], wish(versions[3])).json()["deployment"]
    if verb == "retry":
        Deployment.objects.update(ended_at=timezone.now())
        MicroServiceInstance.objects.update(locked=False, locked_by=None)

    answer = client.post(f"/api/v1/deployments/{begun['id']}/{verb}/{query}", body, format="json")

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {field}
    assert Deployment.objects.count() == 1
    assert Job.objects.get(pk=begun["job"]).cancel_requested_at is None


@pytest.mark.parametrize("changed", [{"dest_version": 5}, {"hosts": [5]}, {"hosts": [True]}])
def test_a_number_is_no_id(client, versions, running, changed):
    answer = ask(client, versions[1], wish(versions[3], **changed))

    assert answer.status_code == 400
    assert "valid UUID" in str(answer.json()["errors"][next(iter(changed))])
