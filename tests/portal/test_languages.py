"""The portal in Chinese and English: nothing is left untranslated, and each reader gets his own language."""

from __future__ import annotations

import gettext
import io
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils import translation
from rest_framework.test import APIClient

from tasks import engine
from tenants.scoping import Role
from tests import translations
from tests.factories import MembershipFactory, VirtualMachineFactory
from vms.models import VirtualMachine, VMStatus

LANGUAGE = "zh-hans"
REPOSITORY = Path(settings.BASE_DIR)
PO = Path(settings.LOCALE_PATHS[0]) / translation.to_locale(LANGUAGE) / "LC_MESSAGES" / "django.po"
# Letters, and the colon that stands alone between two placeholders.
CHINESE = re.compile(r"[\u4e00-\u9fff\uff1a]")
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[#0\- +]*[\d.]*[a-zA-Z%]")


@pytest.fixture(autouse=True)
def nobodys_language() -> Iterator[None]:
    """A request's language stays with its thread until the next one; the next test must not find it there."""
    yield
    translation.deactivate()


# --- The catalog -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The translations as they are written."""
    with PO.open("rb") as file:
        return read_po(file, abort_invalid=True)


def build_catalog(*entries: tuple[Any, Any]) -> Catalog:
    catalog = Catalog()
    for message, text in entries:
        catalog.add(message, text)
    return catalog


def test_missing_and_left_over_translations_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make lint` looks for them in all of the code."""
    monkeypatch.setattr(translations, "LEAST_MESSAGES", 1)
    catalog = build_catalog(
        ("Stop", "停止"), ("Start", ""), (("%(n)s VM", "%(n)s VMs"), ("",)), ("Gone", "已不存在")
    )
    messages = {
        (None, "Stop"): "a.py",
        (None, "Start"): "a.py",
        (None, ("%(n)s VM", "%(n)s VMs")): "b.py",
        ("x", "Stop"): "c.py",
    }

    problems = list(translations.find_problems(catalog, messages))

    assert [re.search(r"'[^']*'", problem)[0] for problem in problems] == [
        "'Start'",
        "'%(n)s VM'",
        "'Stop'",
        "'Gone'",
    ]
    assert list(translations.find_problems(build_catalog(("Stop", "停止")), {(None, "Stop"): "a.py"})) == []


def test_no_translation_is_a_guess(catalog: Catalog) -> None:
    assert not catalog.fuzzy, "Babel does not compile a catalog that is marked fuzzy"
    assert not [entry.id for entry in catalog if entry.id and entry.fuzzy]


def test_translations_keep_the_placeholders(catalog: Catalog) -> None:
    changed = []
    for entry in catalog:
        ids, strings = (
            [texts] if isinstance(texts, str) else list(texts) for texts in (entry.id, entry.string)
        )
        wanted = sorted(PLACEHOLDER.findall(ids[-1]))
        if entry.id and any(sorted(PLACEHOLDER.findall(text)) != wanted for text in strings):
            changed.append(entry.id)

    assert not changed


def test_translations_are_chinese(catalog: Catalog) -> None:
    texts = {entry.id: str(entry.string) for entry in catalog if entry.id}

    assert not [message for message, text in texts.items() if not CHINESE.search(text)]


def compiled_content(file: Any) -> dict[Any, str]:
    """What a program finds in a .mo file; the header, with its dates, is nothing to it."""
    texts: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return {message: text for message, text in texts.items() if message}


@pytest.fixture(scope="module")
def translated(catalog: Catalog) -> None:
    """That what the portal reads is what was written. Without it the tests below would fail and not say why."""
    compiled = PO.with_suffix(".mo")
    if not compiled.is_file():
        pytest.fail(f"There is no {compiled.relative_to(REPOSITORY)}; run `make messages`.")
    fresh = io.BytesIO()
    write_mo(fresh, catalog)
    fresh.seek(0)
    with compiled.open("rb") as file:
        if compiled_content(file) != compiled_content(fresh):
            pytest.fail(f"{compiled.relative_to(REPOSITORY)} is older than the .po; run `make messages`.")


def test_the_compiled_catalog_is_in_step_and_in_use(translated: None) -> None:
    with translation.override(LANGUAGE):
        assert translation.gettext("virtual machine") == "虚拟机"
    with translation.override("en"):
        assert translation.gettext("virtual machine") == "virtual machine"


# --- Over HTTP ---------------------------------------------------------------------------------------------


def client_of(user: Any, language: str) -> APIClient:
    client = APIClient(headers={"accept-language": language})
    client.force_login(user)
    return client


def vm_of(membership: Any, status: str = VMStatus.STOPPED) -> VirtualMachine:
    vm: VirtualMachine = VirtualMachineFactory(information_system__tenant=membership.tenant, status=status)
    return vm


def act(client: APIClient, vm: VirtualMachine, action: str) -> Any:
    return client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": action}, format="json")


def not_signed_in(language: str) -> Any:
    return APIClient(headers={"accept-language": language}).get("/api/v1/vms/")


def role_too_low(language: str) -> Any:
    viewer = MembershipFactory(role=Role.VIEWER)
    return act(client_of(viewer.user, language), vm_of(viewer), "start")


def not_there(language: str) -> Any:
    return client_of(MembershipFactory().user, language).get(f"/api/v1/vms/{uuid.uuid4()}/")


def unknown_filter(language: str) -> Any:
    return client_of(MembershipFactory().user, language).get("/api/v1/vms/?colour=red")


def wrong_state(language: str) -> Any:
    operator = MembershipFactory(role=Role.OPERATOR)
    return act(client_of(operator.user, language), vm_of(operator), "restart")


def busy(language: str) -> Any:
    operator = MembershipFactory(role=Role.OPERATOR)
    client, vm = client_of(operator.user, language), vm_of(operator, VMStatus.RUNNING)
    assert act(client, vm, "stop").status_code == 202
    return act(client, vm, "restart")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "status", "code", "titles"),
    [
        (not_signed_in, 401, "not_authenticated", ("请先登录", "Unauthorized")),
        (role_too_low, 403, "role_too_low", ("没有权限", "Forbidden")),
        (not_there, 404, "not_found", ("未找到", "Not found")),
        (unknown_filter, 400, "invalid", ("请求有误", "Bad request")),
        (wrong_state, 409, "wrong_state", ("当前无法执行", "Conflict")),
        (busy, 409, "busy", ("当前无法执行", "Conflict")),
    ],
)
def test_refusals_are_in_the_readers_language(
    translated: None, asked: Any, status: int, code: str, titles: tuple[str, str]
) -> None:
    for language, title in zip((LANGUAGE, "en"), titles, strict=True):
        response = asked(language)
        body = response.json()

        assert (response.status_code, body["code"], body["title"]) == (status, code, title)
        assert response["Content-Language"] == language
        told = [body["detail"], *(text for texts in body.get("errors", {}).values() for text in texts)]
        assert [bool(CHINESE.search(text)) for text in told] == [language == LANGUAGE] * len(told)


@pytest.mark.django_db
def test_labels_are_in_the_readers_language(translated: None) -> None:
    viewer = MembershipFactory(role=Role.VIEWER)
    vm = vm_of(viewer)
    shown = {
        language: client_of(viewer.user, language).get(f"/api/v1/vms/{vm.pk}/").json()
        for language in (LANGUAGE, "en")
    }

    assert {language: vm["status_display"] for language, vm in shown.items()} == {
        LANGUAGE: "已停止",
        "en": "stopped",
    }
    assert {vm["status"] for vm in shown.values()} == {"stopped"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accepted", "title"),
    [
        ("fr", "Not found"),
        ("tlh, fr;q=0.5", "Not found"),
        ("*", "Not found"),
        ("not a language!", "Not found"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "未找到"),  # What a Chinese browser sends.
        ("fr, zh-hans;q=0.5", "未找到"),
        ("en, zh-hans;q=0.5", "Not found"),
    ],
)
def test_an_unknown_language_falls_to_english(
    translated: None, settings: Any, accepted: str, title: str
) -> None:
    settings.LANGUAGE_CODE = "en"

    assert not_there(accepted).json()["title"] == title


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("asker", "reader", "message", "label", "description"),
    [
        (LANGUAGE, "en", "Canceled.", "cancelled", "Stop VM"),
        ("en", LANGUAGE, "已取消。", "已取消", "停止虚拟机"),
    ],
)
def test_a_job_speaks_the_readers_language_whoever_has_asked(
    translated: None, asker: str, reader: str, message: str, label: str, description: str
) -> None:
    operator = MembershipFactory(role=Role.OPERATOR)
    vm = vm_of(operator, VMStatus.RUNNING)
    job = act(client_of(operator.user, asker), vm, "stop").json()["job"]
    client = client_of(operator.user, reader)
    assert client.post(f"/api/v1/jobs/{job['id']}/cancel/").status_code == 202

    with translation.override(asker):  # The worker's own language does not matter.
        engine.advance(uuid.UUID(job["id"]))

    shown = client.get(f"/api/v1/jobs/{job['id']}/").json()
    assert shown["outcome"] == {"code": "cancelled", "message": message}
    assert shown["status_display"] == label
    assert shown["description"] == f"{description}: {vm.name}"
    entries = client.get(f"/api/v1/vms/{vm.pk}/operations/").json()["results"]
    assert [entry["detail"] for entry in entries] == [f"cancelled: {message}"]
