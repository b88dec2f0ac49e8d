"""Pages of the bin, of deletion protection, of tags, and of several VMs at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    ServiceFactory,
    VirtualMachineFactory,
    VolumeFactory,
    create_catalogue,
)
from vms.models import VirtualMachine

pytestmark = pytest.mark.django_db
BINNED = {"binned_at": timezone.now(), "bin_until": timezone.now() + timedelta(days=7)}


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def browser(member):
    return sign_in(member)


def sign_in(member):
    client = Client()
    client.force_login(member.user)
    return client


@pytest.fixture
def vm_of(member):
    """Return a function that creates a stopped VM of the member's tenant."""
    return lambda **columns: VirtualMachineFactory(information_system__tenant=member.tenant, **columns)


@pytest.fixture
def volume_of(member):
    return lambda **columns: VolumeFactory(information_system__tenant=member.tenant, **columns)


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


def test_the_list_hides_the_bin_and_a_filter_shows_it(browser, vm_of):
    shown, binned = vm_of(name="shown-vm"), vm_of(name="binned-vm", **BINNED)

    plain = browser.get(reverse("vm-page")).content.decode()
    in_bin = browser.get(reverse("vm-page"), {"in_bin": "true"}).content.decode()

    assert (shown.name in plain, binned.name in plain) == (True, False)
    assert (shown.name in in_bin, binned.name in in_bin) == (False, True)
    assert reverse("vm-restore-page", args=[binned.pk]) in in_bin
    assert "Delete permanently" in in_bin


def test_a_list_is_filtered_and_grouped_by_tag(browser, vm_of):
    vm_of(name="one", tags={"env": "test", "items": "1"})
    vm_of(name="two", tags={"env": "prod"})
    vm_of(name="three")

    filtered = browser.get(reverse("vm-page"), {"tag": "env:prod"}).content.decode()
    grouped = browser.get(reverse("vm-page"), {"group": "env"}).content.decode()
    unknown = browser.get(reverse("vm-page"), {"tag": "no key!"}).content.decode()

    assert ("two" in filtered, ">one<" in filtered) == (True, False)
    titles = ["env: prod</strong>", "env: test</strong>", "Without the tag env</strong>"]
    places = [grouped.index(title) for title in titles]
    assert places == sorted(places)
    assert "group=" not in grouped.split("vms/export/")[1].split('"')[0]
    assert "it is not applied" in unknown


def test_the_page_of_a_vm_in_the_bin_offers_to_restore_it(browser, member, vm_of):
    vm = vm_of(**BINNED)
    viewer = sign_in(MembershipFactory(tenant=member.tenant, role=Role.VIEWER))
    page = reverse("vm-detail-page", args=[vm.pk])

    assert reverse("vm-restore-page", args=[vm.pk]) in browser.get(page).content.decode()
    assert reverse("vm-restore-page", args=[vm.pk]) not in viewer.get(page).content.decode()


def test_the_button_restores_and_says_so(browser, vm_of):
    vm = vm_of(**BINNED)

    answer = browser.post(reverse("vm-restore-page", args=[vm.pk]), {"page": "detail"}, follow=True)

    assert messages_of(answer) == [f"Restoring VM {vm.name}."]
    assert Job.objects.get().kind == "vms.restore"
    twice = browser.post(reverse("vm-restore-page", args=[vm.pk]), follow=True)
    assert Job.objects.count() == 1
    assert twice.status_code == 200


def test_a_vm_is_deleted_permanently_from_the_bin_by_its_name(browser, vm_of):
    vm = vm_of(**BINNED)
    url = reverse("vm-remove", args=[vm.pk])

    refused = browser.post(url, {"name": "other", "permanent": "true", "volumes": "keep"})
    accepted = browser.post(url, {"name": vm.name, "permanent": "true", "volumes": "keep"})

    assert (refused.status_code, accepted.status_code) == (400, 302)
    assert Job.objects.get().kind == "vms.remove"


def test_protection_is_turned_on_by_operators_and_off_by_administrators(browser, member, vm_of):
    vm = vm_of()
    operator = sign_in(MembershipFactory(tenant=member.tenant, role=Role.OPERATOR))
    url = reverse("vm-protection", args=[vm.pk])

    operator.post(url, {"deletion_protection": "true"})
    refused = operator.post(url, {"deletion_protection": "false"}, follow=True)
    vm.refresh_from_db()
    assert vm.deletion_protection
    assert "administrator" in messages_of(refused)[-1]
    settings_page = f"{reverse('vm-detail-page', args=[vm.pk])}?tab=settings"
    assert reverse("vm-remove", args=[vm.pk]) not in browser.get(settings_page).content.decode()
    browser.post(url, {"deletion_protection": "false"})
    vm.refresh_from_db()
    assert not vm.deletion_protection


def test_tags_are_edited_with_the_settings(browser, vm_of):
    vm = vm_of(tags={"old": ""})
    url = reverse("vm-change", args=[vm.pk])
    fields = {"name": vm.name, "description": "", "metadata": "", "version": vm.version}

    refused = browser.post(url, {**fields, "tags": "no equals sign\n-bad=1"})
    accepted = browser.post(url, {**fields, "tags": "env=prod\nowner=ann"})

    assert (refused.status_code, accepted.status_code) == (400, 302)
    assert "no equals sign" in refused.content.decode()
    vm.refresh_from_db()
    assert vm.tags == {"env": "prod", "owner": "ann"}
    browser.post(url, {**fields, "version": vm.version})  # A form without tags changes none.
    vm.refresh_from_db()
    assert vm.tags == {"env": "prod", "owner": "ann"}


@pytest.mark.parametrize("page", ["vm-restore-page", "vm-protection"])
def test_a_foreign_vm_is_as_unknown_as_none(browser, page):
    foreign = VirtualMachineFactory(**BINNED)

    assert browser.post(reverse(page, args=[foreign.pk])).status_code == 404


@pytest.mark.parametrize("page", ["volume-restore-page", "volume-protection", "volume-tags"])
def test_a_foreign_volume_is_as_unknown_as_none(browser, page):
    assert browser.get(reverse(page, args=[VolumeFactory().pk])).status_code == 404


def test_several_vms_are_created_by_the_form(browser, member):
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    system = InformationSystemFactory(tenant=member.tenant, default_account=account)
    form = {
        "information_system": str(system.pk),
        "name": "web-{n}",
        "count": "3",
        "boot": "os:ubuntu|",
        "cpu_cores": "2",
        "memory_gb": "4",
        "disk_gb": "40",
        "tags": "env=prod",
        "deletion_protection": "true",
    }

    shown = browser.post(reverse("vm-new"), {**form, "reload": "1"}).content.decode()
    bad = browser.post(reverse("vm-new"), {**form, "count": "51", "tags": "nothing"})
    created = browser.post(reverse("vm-new"), {**form, "create": "1"}, follow=True)

    assert "web-1 – web-3" in shown
    assert (bad.status_code, set(bad.context["errors"])) == (400, {"count", "tags"})
    assert messages_of(created) == ["Creating 3 VMs."]
    rows = VirtualMachine.objects.order_by("name").values_list("name", "tags", "deletion_protection")
    assert list(rows) == [(f"web-{n}", {"env": "prod"}, True) for n in (1, 2, 3)]


def test_volumes_have_forms_for_the_bin_tags_and_protection(browser, volume_of, settings):
    settings.BIN_DAYS = 7
    volume = volume_of(name="ledger")

    browser.post(reverse("volume-tags", args=[volume.pk]), {"tags": "env=prod"})
    browser.post(reverse("volume-protection", args=[volume.pk]), {"deletion_protection": "true"})
    blocked = browser.get(reverse("volume-remove", args=[volume.pk])).content.decode()
    browser.post(reverse("volume-protection", args=[volume.pk]), {"deletion_protection": "false"})
    refused = browser.post(reverse("volume-tags", args=[volume.pk]), {"tags": "nothing"})
    removed = browser.post(
        reverse("volume-remove", args=[volume.pk]), {"confirm_name": "ledger"}, follow=True
    )

    assert "Deletion protection is on" in blocked
    assert refused.status_code == 400
    assert messages_of(removed)[-1] == "Volume ledger was moved to the bin."
    volume.refresh_from_db()
    assert (volume.tags, volume.is_in_bin) == ({"env": "prod"}, True)
    in_bin = browser.get(reverse("volume-page"), {"in_bin": "true"}).content.decode()
    assert reverse("volume-restore-page", args=[volume.pk]) in in_bin
    browser.post(reverse("volume-restore-page", args=[volume.pk]))
    volume.refresh_from_db()
    assert not volume.is_in_bin


def test_services_are_filtered_by_tag(browser, member):
    ServiceFactory(information_system__tenant=member.tenant, name="checkout", tags={"env": "prod"})
    ServiceFactory(information_system__tenant=member.tenant, name="search")

    page = browser.get(reverse("service-page"), {"tag": "env:prod"}).content.decode()

    assert ("checkout" in page, ">search<" in page) == (True, False)
