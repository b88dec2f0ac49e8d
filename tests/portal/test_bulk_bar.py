"""The bar of selected VMs, and the forms of its actions."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from pages.dialogs import HEADER
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, VirtualMachineFactory
from vms.models import VirtualMachine
from vms.pages.bulk_bar import BUTTONS, LEFT_OUT, MAX_NAMED, MENU
from vms.services import BULK_ACTIONS

pytestmark = pytest.mark.django_db
FORMS = {*BUTTONS, *MENU} - LEFT_OUT


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def browser(member):
    client = Client()
    client.force_login(member.user)
    return client


@pytest.fixture
def vm_of(member):
    """Return a function that creates a stopped VM of the member's tenant."""
    return lambda **columns: VirtualMachineFactory(information_system__tenant=member.tenant, **columns)


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


def bulk(browser, vms, action, address="", **fields):
    data = {"ids": [str(vm.pk) for vm in vms], "action": action, **fields}
    return browser.post(reverse("vm-bulk-action") + address, data, follow=True)


def show_form(browser, vms, action, address="", **fields):
    """Return the form of an action, as the page's script asks for it."""
    data = {"ids": [str(vm.pk) for vm in vms], "action": action, **fields}
    return browser.post(reverse("vm-bulk-form") + address, data, headers={HEADER: "true"})


def test_each_action_but_start_has_a_form(browser, vm_of, settings):
    settings.BIN_DAYS = 7
    vm = vm_of()
    assert BULK_ACTIONS.keys() - {"start", "rescue", "restore"} == FORMS

    for action in FORMS:
        answer = show_form(browser, [vm], action, "?search=x&colour=red", mode="valid")

        page = answer.content.decode()
        assert answer.status_code == 200
        assert f'action="{reverse("vm-bulk-action")}?search=x"' in page
        assert f'name="ids" value="{vm.pk}"' in page
        assert f"{BULK_ACTIONS[action].title}: 1 VM</h2>" in page
        assert 'value="valid" checked' in page
    assert not Job.objects.exists()


def test_a_form_names_the_first_vms_and_none_of_another_tenant(browser, vm_of):
    vms = [vm_of(name=f"vm-{number:02}<b>") for number in range(MAX_NAMED + 2)]
    foreign = VirtualMachineFactory(name="foreign-vm")

    page = show_form(browser, [*vms, foreign], "stop").content.decode()

    assert f"Stop: {MAX_NAMED + 2} VMs</h2>" in page
    assert escape("vm-09<b>") in page and "vm-10" not in page and "<b>" not in page
    assert "and 2 more" in page
    assert foreign.name not in page and str(foreign.pk) not in page


def test_a_form_without_script_is_a_page(browser, vm_of):
    answer = browser.post(reverse("vm-bulk-form"), {"ids": [str(vm_of().pk)], "action": "snapshot"})

    assert "Create snapshot: 1 VM</h1>" in answer.content.decode()
    assert 'id="sidebar"' in answer.content.decode()


@pytest.mark.parametrize(
    ("ids", "action", "told"),
    [
        ([], "stop", "Select at least one VM."),
        (["x", "00000000-0000-0000-0000-000000000000"], "stop", "Select at least one VM."),
        (["x"], "dance", "Unknown action"),
    ],
)
def test_a_form_that_cannot_be_shown_says_why_on_the_list(browser, ids, action, told):
    answer = browser.post(
        reverse("vm-bulk-form") + "?status=running", {"ids": ids, "action": action}, follow=True
    )

    assert told in messages_of(answer)[0]
    assert answer.request["QUERY_STRING"] == "status=running"


@pytest.mark.parametrize(("role", "action"), [(Role.VIEWER, "stop"), (Role.OPERATOR, "resize")])
def test_a_form_is_for_the_role_of_its_action(browser, member, vm_of, role, action):
    vm = vm_of()
    member.role = role
    member.save()

    shown = browser.post(reverse("vm-bulk-form"), {"ids": [str(vm.pk)], "action": action}, follow=True)
    sent = bulk(browser, [vm], action, cpu_cores="4", memory_gb="8")

    assert "You need the role" in messages_of(shown)[0]
    assert (sent.status_code, Job.objects.count()) == (200, 0)
    listed = browser.get(reverse("vm-page")).content.decode()
    assert f'name="action" value="{action}" data-dialog' not in listed


def test_a_refused_form_keeps_what_was_typed(browser, vm_of):
    vms = [vm_of(), vm_of()]

    empty = bulk(browser, vms, "resize", cpu_cores="4", memory_gb="")
    long = bulk(browser, vms, "snapshot", name="x" * 201)

    assert (empty.status_code, long.status_code) == (400, 400)
    assert list(empty.context["errors"]) == ["memory_gb"]
    assert 'name="cpu_cores" min="1" max="64" value="4"' in empty.content.decode()
    assert list(long.context["errors"]) == ["name"] and "x" * 201 in long.content.decode()
    assert not Job.objects.exists()


def test_the_bar_edits_tags_and_returns_to_the_list(browser, vm_of):
    vms = [vm_of(tags={"old": ""}), vm_of()]

    answer = bulk(
        browser,
        vms,
        "tag",
        "?search=x&colour=red",
        add_tags="env=prod",
        remove_tags="old",
        cpu_cores="nonsense",
    )

    assert messages_of(answer) == ["Edit tags: requested for 2 of 2 VMs."]
    assert answer.request["QUERY_STRING"] == "search=x"
    assert list(VirtualMachine.objects.values_list("tags", flat=True)) == [{"env": "prod"}] * 2
    refused = bulk(browser, vms, "tag", add_tags="nothing", remove_tags="old")
    assert (refused.status_code, refused.context["entered"]["remove_tags"]) == (400, "old")
    assert "Line 1 has no" in refused.context["errors"]["add_tags"][0]


@pytest.mark.parametrize("days", [0, 7])
def test_the_bar_deletes_into_the_bin_or_asks_for_the_number(browser, vm_of, settings, days):
    settings.BIN_DAYS = days
    vms = [vm_of(), vm_of()]

    answer = bulk(browser, vms, "remove", volumes="keep")

    if days:
        assert set(Job.objects.values_list("kind", flat=True)) == {"vms.move_to_bin"}
    else:
        assert "Type 2" in answer.context["errors"]["confirm_count"][0]
        assert not Job.objects.exists()
        bulk(browser, vms, "remove", volumes="keep", confirm_count="2")
        assert set(Job.objects.values_list("kind", flat=True)) == {"vms.remove"}


def test_the_bar_of_the_bin_deletes_permanently_by_the_number(browser, vm_of, settings):
    settings.BIN_DAYS = 7
    vm = vm_of(binned_at="2026-01-01T00:00Z", bin_until="2026-01-08T00:00Z")

    form = show_form(browser, [vm], "remove", permanent="true").content.decode()
    refused = bulk(browser, [vm], "remove", permanent="true", confirm_count="2")
    accepted = bulk(browser, [vm], "remove", permanent="true", confirm_count="1")

    assert "Delete permanently: 1 VM</h2>" in form and 'name="volumes"' not in form
    assert "Type 1" in refused.context["errors"]["confirm_count"][0]
    assert messages_of(accepted) == ["Delete: requested for 1 of 1 VMs."]
    assert Job.objects.get().kind == "vms.remove"


def test_the_bar_takes_no_vm_of_another_tenant(browser):
    foreign = VirtualMachineFactory()

    answer = bulk(browser, [foreign], "protect")

    assert "Nothing was changed" in messages_of(answer)[0]
    foreign.refresh_from_db()
    assert not foreign.deletion_protection


def test_the_bar_moves_vms_to_another_application(browser, member, vm_of):
    target = InformationSystemFactory(tenant=member.tenant, name="New shop")
    neighbour = MembershipFactory(user=member.user, role=Role.ADMIN).tenant
    theirs = InformationSystemFactory(tenant=neighbour, name="Their shop")
    stranger = InformationSystemFactory(name="Strange shop")
    vms = [vm_of(), vm_of()]
    browser.post("/tenant/", {"tenant": member.tenant.slug})
    page = show_form(browser, vms, "move").content.decode()

    moved = bulk(browser, vms, "move", information_system=str(target.pk))
    refused = [
        bulk(browser, vms, "move", information_system=value).context["errors"]
        for value in (str(stranger.pk), "nonsense", "")
    ]

    assert "New shop" in page and f"/ {theirs.name}" in page and stranger.name not in page
    assert messages_of(moved) == ["Move: requested for 2 of 2 VMs."]
    assert all(list(errors) == ["information_system"] for errors in refused), refused
    assert set(VirtualMachine.objects.values_list("information_system", flat=True)) == {target.pk}


def test_the_bar_tells_of_an_unknown_action_and_changes_nothing(browser, vm_of):
    vm = vm_of()
    before = VirtualMachine.objects.values().get()

    answer = bulk(browser, [vm], "dance", add_tags="env=prod", volumes="delete")

    (told,) = messages_of(answer)
    assert told.startswith("Unknown action 'dance'.")
    assert VirtualMachine.objects.values().get() == before
    assert not Job.objects.exists()
