"""Deletion protection and tags of VMs, over REST: one VM, many, and the filters of the list."""

from __future__ import annotations

import pytest

from tasks import engine
from tasks.engine import Spec
from tenants.scoping import Role
from tests.factories import CloudAccountFactory, MembershipFactory, VirtualMachineFactory, create_catalogue
from vms.commands.removal import RemoveVmCommand
from vms.models import Resize, VirtualMachine

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    from .conftest import AdminClient

    return AdminClient(MembershipFactory(role=Role.ADMIN))


@pytest.fixture
def vm_of(admin):
    """Return a function that creates a stopped VM of the administrator's tenant."""
    return lambda **columns: VirtualMachineFactory(information_system__tenant=admin.member.tenant, **columns)


@pytest.fixture
def operator(admin):
    from .conftest import AdminClient

    return AdminClient(MembershipFactory(tenant=admin.member.tenant, role=Role.OPERATOR))


def url_of(vm):
    return f"/api/v1/vms/{vm.pk}/"


def bulk(client, vms, action, **fields):
    ids = [str(vm.pk) for vm in vms]
    return client.post("/api/v1/vms/actions/", {"ids": ids, "action": action, **fields}, format="json")


def names(client, query):
    return [vm["name"] for vm in client.get(f"/api/v1/vms/{query}").json()["results"]]


# --- Deletion protection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0, 7])
def test_a_protected_vm_is_not_deleted(admin, vm_of, settings, days):
    settings.BIN_DAYS = days
    vm, other = vm_of(deletion_protection=True), vm_of()

    single = admin.delete(f"{url_of(vm)}?force=true")
    many = bulk(admin, [vm, other], "remove")

    assert (single.status_code, single.json()["code"]) == (409, "protected")
    assert vm.name in single.json()["detail"]
    assert [one["refusal"] and one["refusal"]["code"] for one in many.json()["results"]] == [
        "protected",
        None,
    ]
    assert VirtualMachine.objects.filter(desired_state="removed").count() == 0


def test_protected_volumes_are_not_deleted_with_their_vm(admin, vm_of):
    from tests.factories import VolumeFactory

    vm = vm_of()
    VolumeFactory(information_system=vm.information_system, vm=vm, deletion_protection=True, name="ledger")

    refused = admin.delete(url_of(vm))
    kept = admin.delete(f"{url_of(vm)}?volumes=keep")

    assert (refused.json()["code"], list(refused.json()["errors"])) == ("protected", ["volumes"])
    assert "ledger" in refused.json()["detail"]
    assert kept.status_code == 202


def test_operators_turn_protection_on_and_only_administrators_off(admin, operator, vm_of):
    vm = vm_of()

    on = operator.patch(url_of(vm), {"deletion_protection": True}, format="json")
    off = operator.patch(url_of(vm), {"deletion_protection": False}, format="json")
    off_many = bulk(operator, [vm], "unprotect")

    assert (on.status_code, on.json()["vm"]["deletion_protection"]) == (200, True)
    assert [answer.json()["code"] for answer in (off, off_many)] == ["role_too_low"] * 2
    assert bulk(admin, [vm], "unprotect").json()["changed"] == 1
    details = [row["detail"] for row in admin.get(f"{url_of(vm)}operations/").json()["results"]]
    assert details == ["Deletion protection turned off.", "Deletion protection turned on."]


def test_protection_that_comes_during_the_deletion_is_refused(admin, vm_of):
    vm = vm_of()
    engine.submit_many([Spec(RemoveVmCommand(str(vm.pk)), admin.member.tenant)])

    one = admin.patch(url_of(vm), {"deletion_protection": True}, format="json")
    many = bulk(admin, [vm], "protect", mode="valid")

    assert one.json()["code"] == many.json()["results"][0]["refusal"]["code"] == "busy"


# --- Tags ------------------------------------------------------------------------------------------------------


def test_tags_are_replaced_as_a_whole_and_under_their_version(admin, vm_of):
    vm = vm_of(tags={"env": "test", "owner": "ann"})

    answer = admin.patch(url_of(vm), {"tags": {"env": "prod"}}, format="json", HTTP_IF_MATCH='"1"')
    outdated = admin.patch(url_of(vm), {"tags": {}}, format="json", HTTP_IF_MATCH='"1"')

    assert (answer.status_code, answer.json()["vm"]["tags"]) == (200, {"env": "prod"})
    assert outdated.status_code == 412


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"": "x"}, ""),
        ({"-begins": "x"}, "-begins"),
        ({"a:b": "x"}, "a:b"),
        ({"a" * 64: "x"}, "a" * 64),
        ({"a b": "x"}, "a b"),
        ({"env": "x" * 256}, "env"),
        ({"env": "tab\there"}, "env"),
        ({"env": {"deep": 1}}, "env"),
    ],
)
def test_a_bad_tag_is_refused_at_its_key(admin, vm_of, tags, named):
    answer = admin.patch(url_of(vm_of()), {"tags": tags}, format="json")

    assert (answer.status_code, list(answer.json()["errors"]["tags"])) == (400, [named])


def test_an_object_has_at_most_fifty_tags(admin, vm_of):
    vm = vm_of(tags={f"k{n}": "" for n in range(50)})

    whole = admin.patch(url_of(vm), {"tags": {f"k{n}": "" for n in range(51)}}, format="json")
    added = bulk(admin, [vm], "tag", add_tags={"one": "more"}, mode="valid")

    assert whole.status_code == 400
    assert added.json()["results"][0]["refusal"]["code"] == "too_many_tags"


def test_lists_are_filtered_by_tags(admin, vm_of):
    vm_of(name="a", tags={"env": "prod", "owner": "ann"})
    vm_of(name="b", tags={"env": "test", "数据": "值:1"})
    vm_of(name="c")

    assert names(admin, "?tag=env") == ["a", "b"]
    assert names(admin, "?tag=env:prod") == ["a"]
    assert names(admin, "?tag=env&tag=owner:ann") == ["a"]
    assert names(admin, "?tag=数据:值:1") == ["b"]
    assert admin.get("/api/v1/vms/?tag=:x").status_code == 400
    assert admin.get(f"/api/v1/vms/?tag=env:{'x' * 256}").status_code == 400


def test_tags_are_added_to_many_and_removed_from_them(operator, vm_of):
    first, second = vm_of(tags={"env": "test", "old": ""}), vm_of(tags={"env": "prod"})

    answer = bulk(operator, [first, second], "tag", add_tags={"env": "prod"}, remove_tags=["old"])

    # No job is needed, so it is done already.
    assert (answer.status_code, [one["changed"] for one in answer.json()["results"]]) == (200, [True, False])
    first.refresh_from_db()
    assert (first.tags, first.version, second.tags) == ({"env": "prod"}, 2, {"env": "prod"})


def test_a_refused_vm_stops_the_change_of_all(operator, vm_of):
    full, other = vm_of(tags={f"k{n}": "" for n in range(50)}), vm_of()

    answer = bulk(operator, [full, other], "tag", add_tags={"one": "more"})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_all_valid")
    other.refresh_from_db()
    assert other.tags == {}


# --- The other actions on many ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "fields", "errors"),
    [
        ("resize", {"cpu_cores": 2}, {"memory_gb"}),
        ("snapshot", {}, {"name"}),
        ("tag", {}, {"add_tags"}),
        ("protect", {"name": "x"}, {"name"}),
        ("start", {"volumes": "keep"}, {"volumes"}),
        ("remove", {"volumes": "some"}, {"volumes"}),
    ],
)
def test_each_action_takes_its_own_fields(admin, vm_of, action, fields, errors):
    answer = bulk(admin, [vm_of()], action, **fields)

    assert (answer.status_code, set(answer.json()["errors"])) == (400, errors)


def test_a_vm_in_error_is_resized_by_no_bulk_request_and_stops_all_or_is_left_out(admin, vm_of):
    account = CloudAccountFactory(tenant=admin.member.tenant)
    create_catalogue(account)
    place = {"account": account, "disk_gb": 10, "cpu_cores": 1, "memory_gb": 1}
    vms = [vm_of(**place), vm_of(**place, status="error"), vm_of(**place)]

    stopped = bulk(admin, vms, "resize", cpu_cores=4, memory_gb=8)
    resized = bulk(admin, vms, "resize", cpu_cores=4, memory_gb=8, mode="valid")

    assert (stopped.status_code, stopped.json()["code"]) == (409, "not_all_valid")
    assert (resized.status_code, resized.json()["changed"]) == (202, 2)
    for answer in (stopped, resized):
        refusals = [one["refusal"] and one["refusal"]["code"] for one in answer.json()["results"]]
        assert refusals == [None, "wrong_state", None]
    assert set(Resize.objects.values_list("vm", flat=True)) == {vms[0].pk, vms[2].pk}


@pytest.mark.parametrize("action", ["remove", "resize", "restore", "unprotect"])
def test_what_an_administrator_does_to_one_vm_an_operator_does_to_none(operator, vm_of, action):
    fields = {"cpu_cores": 4, "memory_gb": 8} if action == "resize" else {}

    assert bulk(operator, [vm_of()], action, **fields).json()["code"] == "role_too_low"


@pytest.mark.parametrize("action", ["remove", "resize", "snapshot", "tag", "protect"])
def test_a_hundred_cost_as_many_statements_as_five(
    admin, vm_of, action, django_assert_max_num_queries, settings
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tests.factories import InformationSystemFactory

    settings.BIN_DAYS = 7
    fields = {
        "resize": {"cpu_cores": 4, "memory_gb": 8},
        "snapshot": {"name": "before"},
        "tag": {"add_tags": {"env": "prod"}},
    }.get(action, {})
    account = CloudAccountFactory(tenant=admin.member.tenant)
    create_catalogue(account)
    system = InformationSystemFactory(tenant=admin.member.tenant)
    counts = []
    for count in (5, 100):
        vms = VirtualMachineFactory.create_batch(
            count, information_system=system, account=account, disk_gb=10, cpu_cores=1, memory_gb=1
        )
        with CaptureQueriesContext(connection) as queries:
            answer = bulk(admin, vms, action, **fields)
        assert answer.status_code == (200 if action in {"tag", "protect"} else 202), answer.json()
        assert answer.json()["changed"] == count
        counts.append(len(queries))

    assert counts[0] == counts[1]
