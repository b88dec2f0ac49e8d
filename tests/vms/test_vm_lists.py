"""The list of VMs with many of them: what a search finds, what is counted, and the pages behind the count."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from api.pagination import CappedPaginator
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory, UserFactory, VirtualMachineFactory
from vms.models import VirtualMachine, VMStatus
from vms.search import MAX_NAMED_SYSTEMS, search_vms

pytestmark = pytest.mark.django_db
LIST = "/api/v1/vms/"


@pytest.fixture
def member():
    return MembershipFactory(role=Role.VIEWER)


@pytest.fixture
def system(member):
    return InformationSystemFactory(tenant=member.tenant, name="Web shop 商城")


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


@pytest.fixture
def browser(member):
    browser = Client()
    browser.force_login(member.user)
    return browser


def create_vms(system, *names, **columns):
    account = columns.pop("account", None) or VirtualMachineFactory.build().account
    account.save()
    return [
        VirtualMachineFactory(information_system=system, account=account, name=name, **columns)
        for name in names
    ]


def names(answer):
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()["results"]]


class TestSearch:
    @pytest.fixture(autouse=True)
    def vms(self, system, member):
        other = InformationSystemFactory(tenant=member.tenant, name="Books")
        create_vms(other, "web-01", openstack_id="aaaaaaaa-0000-4000-8000-00000000beef")
        create_vms(other, "100%_ready", description="Rates: 5 % off")
        create_vms(other, "100x-ready", ip_address="10.20.30.40")
        create_vms(other, "数据库一号")
        create_vms(other, r"back\slash", ip_address="2001:db8::17")
        create_vms(system, "cart")

    def test_each_word_occurs_in_a_column_or_in_the_systems_name(self, client, browser):
        for text, expected in {
            "WEB-01": ["web-01"],
            "beef": ["web-01"],
            "%_r": ["100%_ready"],
            "%": ["100%_ready"],
            "_": ["100%_ready"],
            "5 %": ["100%_ready"],
            "\\s": [r"back\slash"],
            "0.30.4": ["100x-ready"],
            "2001:DB8": [r"back\slash"],
            "10.20.30.40/32": [],
            "1x": [],
            "0x": ["100x-ready"],
            "号": ["数据库一号"],
            "据库": ["数据库一号"],
            "数据库一": ["数据库一号"],
            "商城": ["cart"],
            "shop car": ["cart"],
            "shop web-01": [],
            "books 100": ["100%_ready", "100x-ready"],
            "nowhere": [],
        }.items():
            assert names(client.get(LIST, {"search": text})) == expected, text

            html = browser.get("/vms/", {"search": text}).content.decode()
            shown = [name for name in expected if f'title="{name}"' in html]
            assert (shown, html.count('<tr id="vm-')) == (expected, len(expected)), text
            lines = client.get(f"{LIST}export/", {"search": text}).getvalue().decode().splitlines()
            assert len(lines) == len(expected) + 1, text

    def test_other_tenants_systems_are_not_found(self, client):
        stranger = InformationSystemFactory(name="Strange shop")
        create_vms(stranger, "strange-1")

        assert names(client.get(LIST, {"search": "strange"})) == []
        assert names(client.get(LIST, {"search": "shop"})) == ["cart"]

    def test_staff_search_every_tenant(self, system):
        create_vms(InformationSystemFactory(name="Other shop"), "elsewhere")
        client = APIClient()
        client.force_authenticate(UserFactory(is_staff=True, is_superuser=True))

        assert names(client.get(LIST, {"search": "shop"})) == ["cart", "elsewhere"]

    def test_more_systems_than_are_named_are_found_too(self, client, member):
        systems = [
            InformationSystemFactory.build(tenant=member.tenant, name=f"mass {number}")
            for number in range(MAX_NAMED_SYSTEMS + 1)
        ]
        type(systems[0]).objects.bulk_create(systems)
        create_vms(systems[-1], "last")

        assert names(client.get(LIST, {"search": "mass"})) == ["last"]

    @pytest.mark.parametrize("text", ["web-01", "beef", "ready", "0.30.40", "shop", "shop cart"])
    def test_an_index_finds_what_has_three_letters(self, member, text):
        scope = Scope(member.user, member.tenant, Role.VIEWER)
        vms = search_vms(VirtualMachine.objects.all(), text.split(), scope).order_by()
        with connection.cursor() as cursor:
            # PostgreSQL reads a table of six rows as a whole, whatever indexes it has.
            for way in ("seqscan", "indexscan", "indexonlyscan"):
                cursor.execute(f"SET LOCAL enable_{way} = off")

        plan = vms.explain()

        assert "Bitmap Index Scan on vm_search" in plan
        assert "Seq Scan on vms_virtualmachine" not in plan


class TestCounts:
    @pytest.fixture(autouse=True)
    def vms(self, system, monkeypatch):
        monkeypatch.setattr(CappedPaginator, "MAX_COUNT", 4)
        self.system = system
        create_vms(
            system, "pick1", "pick2", "pick3", "pick4", "pick5", "pick6", "pick7", status=VMStatus.RUNNING
        )
        create_vms(system, "rest1", "rest2", status=VMStatus.STOPPED)

    @pytest.mark.parametrize(
        ("query", "count", "is_capped"),
        [
            ("", 9, False),
            ("status=running", 7, False),
            ("status=stopped&status=running&page_size=1&ordering=-name", 9, False),
            ("status=error", 0, False),
            ("search=pick", 4, True),
            ("search=rest", 2, False),
            ("search=", 9, False),
            ("region=RegionOne", 4, True),
        ],
    )
    def test_a_count_is_exact_or_says_that_it_is_not(self, client, query, count, is_capped):
        VirtualMachine.objects.update(region="RegionOne")
        create_vms(InformationSystemFactory(), "pick8", "rest3", region="RegionOne")

        body = client.get(f"{LIST}?{query}").json()

        assert (body["count"], body["count_is_capped"]) == (count, is_capped)

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
    def test_next_leads_through_all_rows_behind_the_count(self, client, size):
        url, seen = f"{LIST}?search=pick&page_size={size}", []
        while url:
            page = client.get(url)
            seen += names(page)
            url = page.json()["next"]

        assert seen == ["pick1", "pick2", "pick3", "pick4", "pick5", "pick6", "pick7"]

    @pytest.mark.parametrize("number", [4, 5, 10**9])
    def test_a_page_behind_the_last_row_is_404(self, client, number):
        assert names(client.get(f"{LIST}?search=pick&page_size=3&page=3")) == ["pick7"]
        assert client.get(f"{LIST}?search=pick&page_size=3&page={number}").status_code == 404
        assert client.get(f"{LIST}?search=nowhere&page=2").status_code == 404

    def test_the_page_says_so_and_ends_at_the_last_row(self, browser):
        create_vms(self.system, *(f"some{number:02}" for number in range(60)))

        first = browser.get("/vms/?search=some").content.decode()
        third = browser.get("/vms/?search=some&page=3").content.decode()
        beyond = browser.get("/vms/?search=some&page=999").content.decode()

        assert "<small>4+</small>" in first
        assert "1–25 of 4+" in first
        assert 'rel="next"' in first
        assert "51–60 of 4+" in third
        assert 'rel="next"' not in third
        # Somebody who asks for the end is told where it is.
        assert "51–60 of 60" in beyond
        assert "1–25 of 69" in browser.get("/vms/").content.decode()

    def test_one_page_orders_as_the_list_does(self, client, browser):
        for ordering in ("-name", "status", "-created_at", "ip_address", "memory_gb"):
            whole = names(client.get(f"{LIST}?ordering={ordering}"))
            pages = [
                name
                for number in (1, 2, 3)
                for name in names(client.get(f"{LIST}?ordering={ordering}&page_size=3&page={number}"))
            ]
            assert pages == whole, ordering
            assert len(set(whole)) == 9
