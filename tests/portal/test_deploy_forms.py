"""The forms that create, change and remove services, versions and instances: each role, bad input, twice, changed meanwhile."""

from __future__ import annotations

import re

import pytest

from deploys.models import MicroService, MicroServiceInstance, MicroServiceVersion
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, TenantFactory

from .deploying import operator, programs, service, text, version, viewer

pytestmark = pytest.mark.django_db

__all__ = ["operator", "programs", "service", "viewer"]

SHA = "a" * 64


@pytest.fixture
def admin(as_role):
    return as_role(Role.ADMIN)


@pytest.fixture
def stranger(as_role):
    return as_role(Role.ADMIN, of=TenantFactory())


@pytest.fixture
def system(tenant):
    return InformationSystemFactory(tenant=tenant, name="Shop")


def service_form(system, **changed):
    return {
        "information_system": str(system.pk),
        "name": "checkout",
        "language": "Go",
        "repository": "",
        "description": "Takes orders.",
        "folder": "/srv/checkout",
        "port": "8080",
        "health_path": "/health",
        "health_port": "",
        "health_status": "",
        "health_seconds": "30",
        "health_contains": "",
        "executor": "command",
        "executor_settings": '{"program": "ok"}',
    } | changed


def version_form(**changed):
    return {
        "label": "cart-2.0",
        "build_status": "success",
        "artifact_url": "https://artifacts.example.org/2.tar.gz",
        "sha256": SHA,
        "notes": "New.",
    } | changed


def error_of(html, field):
    """What is said at a field, which names it as its description."""
    error = re.search(rf'<span class="field-error" role="alert" id="field-{field}-error">(.*?)</span>', html)
    assert error, f"nothing is said at {field}"
    assert f'aria-describedby="field-{field}-hint field-{field}-error"' in html or (
        f'aria-describedby="field-{field}-error"' in html
    )
    return error[1]


def version_in(html):
    return re.search(r'name="version" value="([^"]+)"', html)[1].replace("&quot;", '"')


# --- Who may do what ---------------------------------------------------------------------------------------


@pytest.fixture
def forms(service):
    """Each address with a form, the role that it takes, and whether it shows a page."""
    base, instance = f"/services/{service.pk}/", service.instances.first()
    admins = ["edit/", "instances/new/", f"instances/{instance.pk}/edit/"]
    operators = ["versions/new/", f"versions/{version(service, 4).pk}/edit/"]
    admin_actions = [
        "remove/",
        f"versions/{version(service, 4).pk}/remove/",
        f"instances/{instance.pk}/remove/",
    ]
    return [
        ("/services/new/", Role.ADMIN, True),
        *((base + address, Role.ADMIN, True) for address in admins),
        *((base + address, Role.OPERATOR, True) for address in operators),
        *((base + address, Role.ADMIN, False) for address in admin_actions),
        (f"{base}instances/{instance.pk}/maintenance/", Role.OPERATOR, False),
    ]


def test_each_form_takes_its_role_and_shows_strangers_nothing(
    as_role, admin, operator, viewer, stranger, forms, service, client
):
    before = list(MicroServiceInstance.objects.order_by("pk").values())
    for address, role, shows_page in forms:
        refused = [viewer] if role == Role.OPERATOR else [viewer, operator]
        for browser in refused:
            if shows_page:
                assert browser.get(address).status_code == 403, address
            answer = browser.post(address, {"confirm_name": "cart"}, follow=True)
            assert answer.status_code == 403 or "You need the role" in text(answer), address
        if address != "/services/new/":
            assert stranger.post(address).status_code == 404, address
            assert not shows_page or stranger.get(address).status_code == 404, address
        assert client.post(address)["Location"].startswith("/login/")
        if shows_page:
            assert admin.get(address).status_code == 200, address
        else:
            assert admin.get(address).status_code == 405, address
    assert list(MicroServiceInstance.objects.order_by("pk").values()) == before
    assert MicroServiceVersion.objects.count() == 4


def test_buttons_are_shown_to_those_who_may_press_them(admin, operator, viewer, service):
    pages = {browser: text(browser.get(f"/services/{service.pk}/")) for browser in (admin, operator, viewer)}
    versions = {
        browser: text(browser.get(f"/services/{service.pk}/versions/"))
        for browser in (admin, operator, viewer)
    }

    assert ["/instances/new/" in html for html in pages.values()] == [True, False, False]
    assert ["/maintenance/" in html for html in pages.values()] == [True, True, False]
    assert ["/versions/new/" in html for html in versions.values()] == [True, True, False]
    assert 'id="remove-service"' in text(admin.get(f"/services/{service.pk}/settings/"))
    assert 'id="remove-service"' not in text(operator.get(f"/services/{service.pk}/settings/"))
    assert "/services/new/" not in text(operator.get("/services/"))


# --- Services ----------------------------------------------------------------------------------------------


def test_a_service_is_created(admin, system, programs):
    answer = admin.post("/services/new/", service_form(system), follow=True)

    made = MicroService.objects.get(name="checkout")
    assert answer.redirect_chain == [(f"/services/{made.pk}/", 302)]
    assert "Service checkout was created." in text(answer)
    assert (made.port, made.health_status, made.health_seconds, made.health_port) == (8080, 200, 30, None)
    assert made.executor_settings == {"program": "ok"}
    assert "No instances yet" in text(answer)


WRONG_SERVICES = [
    ("information-system", "", "Select an application."),
    ("information-system", "00000000-0000-0000-0000-000000000000", "Select an application."),
    ("name", "", "may not be blank"),
    ("name", "a b", "Letters, digits"),
    ("name", "x" * 101, "no more than 100 characters"),
    ("folder", "", "may not be blank"),
    ("folder", "srv", "An absolute path"),
    ("port", "", "valid integer"),
    ("port", "65536", "less than or equal to 65535"),
    ("health-path", "health", "Enter a path that starts with /"),
    ("health-port", "x", "valid integer"),
    ("health-status", "99", "greater than or equal to 100"),
    ("health-seconds", "61", "less than or equal to 60"),
    ("executor", "magic", "Select a value."),
    ("executor-settings", "{", "This is not valid JSON."),
    ("executor-settings", '{"program": NaN}', "This is not valid JSON."),
    ("executor-settings", "[" * 5000, "This is not valid JSON."),
    ("executor-settings", "[]", "Expected an object."),
    ("executor-settings", '{"program": "rm"}', "program: The programs are: bad, ok."),
    ("executor-settings", '{"program": "a\\u0000b"}', "program: The programs are"),
    ("description", "a\u202eb", "Control characters"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG_SERVICES)
def test_what_is_wrong_with_a_service_is_said_at_its_field_and_nothing_is_lost(
    admin, system, programs, field, value, words
):
    entered = service_form(system, **{field.replace("-", "_"): value})

    answer = admin.post("/services/new/", entered)

    html = text(answer)
    assert answer.status_code == 400
    assert words in error_of(html, field)
    assert "/srv/checkout" in html or field == "folder"
    assert "Takes orders." in html or field == "description"
    assert not MicroService.objects.exists()


def test_a_system_of_another_tenant_is_unknown(admin, programs):
    foreign = InformationSystemFactory(tenant=TenantFactory())

    answer = admin.post("/services/new/", service_form(foreign))

    assert answer.status_code == 400
    assert error_of(text(answer), "information-system") == "Select an application."
    assert not MicroService.objects.exists()


def test_a_name_that_is_taken_is_said_at_the_name(admin, system, programs):
    admin.post("/services/new/", service_form(system))

    answer = admin.post("/services/new/", service_form(system))

    assert answer.status_code == 409
    assert "has a service called" in error_of(text(answer), "name")
    assert MicroService.objects.count() == 1


def test_a_service_that_is_created_twice_by_one_form_is_one(admin, system, programs):
    key = re.search(r'name="form_key" value="([^"]+)"', text(admin.get("/services/new/")))[1]

    first = admin.post("/services/new/", service_form(system, form_key=key))
    again = admin.post("/services/new/", service_form(system, form_key=key))

    assert first["Location"] == again["Location"]
    assert MicroService.objects.count() == 1


def test_a_service_is_changed_and_a_change_meanwhile_is_shown(admin, service):
    page = f"/services/{service.pk}/edit/"
    shown = text(admin.get(page))
    entered = service_form(
        service.information_system, name="cart", folder="/srv/cart", version=version_in(shown)
    )
    MicroService.objects.filter(pk=service.pk).update(language="Rust", version=service.version + 1)

    refused = admin.post(page, entered)

    html = text(refused)
    assert refused.status_code == 412
    assert "Modified by someone else since you loaded it" in html
    assert "Saved by someone else meanwhile: Rust." in html
    assert 'value="Go"' in html
    assert MicroService.objects.get().language == "Rust"
    saved = admin.post(page, entered | {"version": version_in(html)}, follow=True)
    assert "Changes saved." in text(saved)
    assert MicroService.objects.get().language == "Go"


def test_what_a_deployment_reads_is_not_changed_meanwhile(admin, service):
    service.instances.update(locked=True)
    page = f"/services/{service.pk}/edit/"

    answer = admin.post(page, service_form(service.information_system, name="cart", folder="/srv/other"))

    assert answer.status_code == 409
    assert "The service is being deployed." in text(answer)
    assert 'value="/srv/other"' in text(answer)


def test_a_service_is_removed_only_by_its_name_and_without_instances(admin, service):
    page = f"/services/{service.pk}/remove/"

    assert "type its name, cart" in text(admin.post(page, {"confirm_name": "card"}, follow=True))
    assert "The service has instances on 3 hosts." in text(
        admin.post(page, {"confirm_name": "cart"}, follow=True)
    )
    service.instances.all().delete()
    assert "Service cart was removed." in text(admin.post(page, {"confirm_name": "cart"}, follow=True))
    assert not MicroService.objects.exists()


# --- Versions ----------------------------------------------------------------------------------------------


def test_a_version_is_registered_once(operator, service):
    page = f"/services/{service.pk}/versions/new/"

    first = operator.post(page, version_form(), follow=True)
    again = operator.post(page, version_form(), follow=True)
    other = operator.post(page, version_form(sha256="b" * 64))

    assert "Version cart-2.0 was registered." in text(first)
    assert "was registered before, with the same content" in text(again)
    assert other.status_code == 409
    assert "already registered with different content" in error_of(text(other), "sha256")
    made = service.versions.get(label="cart-2.0")
    assert (made.number, made.sha256, made.is_built) == (5, SHA, True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("label", "", "may not be blank"),
        ("label", ".x", "Letters, digits"),
        ("build-status", "done", "Select a value."),
        ("artifact-url", "", "This field is required."),
        ("artifact-url", "ftp://x/y", "An artifact&#x27;s address is http or https"),
        ("sha256", "A" * 64, "64 hexadecimal digits"),
        ("sha256", "", "This field is required."),
        ("notes", "x" * 10001, "no more than 10000"),
    ],
)
def test_what_is_wrong_with_a_version_is_said_at_its_field(operator, service, field, value, words):
    answer = operator.post(
        f"/services/{service.pk}/versions/new/", version_form(**{field.replace("-", "_"): value})
    )

    assert answer.status_code == 400
    assert words in error_of(text(answer), field)
    assert service.versions.count() == 4


def test_a_version_is_changed_within_what_may_follow(operator, service):
    failed = version(service, 4)
    page = f"/services/{service.pk}/versions/{failed.pk}/edit/"
    form = version_form(build_status="failed", notes="It burns.")
    del form["label"]

    html = text(operator.get(page))
    assert 'value="success"' not in html
    assert "Changes saved." in text(operator.post(page, form, follow=True))
    assert version(service, 4).notes == "It burns."
    refused = operator.post(page, form | {"build_status": "success"})
    assert refused.status_code == 409
    assert "it cannot become" in text(refused)


def test_a_version_is_removed_unless_it_runs(admin, operator, service):
    base = f"/services/{service.pk}/versions/"

    assert 'id="remove-version"' in text(admin.get(f"{base}{version(service, 1).pk}/edit/"))
    assert 'id="remove-version"' not in text(operator.get(f"{base}{version(service, 1).pk}/edit/"))
    assert "runs on hosts" in text(admin.post(f"{base}{version(service, 2).pk}/remove/", follow=True))
    assert "Version cart-1.1 was removed." in text(
        admin.post(f"{base}{version(service, 1).pk}/remove/", follow=True)
    )
    assert service.versions.count() == 3
