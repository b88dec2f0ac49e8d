"""No response to an invalid request is large: at most twenty errors, with names and texts cut, and never 100 kB."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework import exceptions
from rest_framework.test import APIClient

from api.domain_errors import InvalidError
from api.error_limits import MAX_ERRORS, MAX_NAME_LENGTH, MAX_PROBLEM_BYTES, limit_errors
from api.errors import problem, problem_response
from api.serializers import PlainCharField
from tests.factories import MembershipFactory, UserFactory
from tests.isolation.cases import CASES
from tests.stories import select_evenly

pytestmark = pytest.mark.django_db

LARGEST_ANSWER = 100_000
LOGIN = "/api/v1/auth/login"


def nested(depth: int, inner: str, name: str = "n" * 100) -> str:
    return f'{{"{name}":' * depth + inner + "}" * depth


def listed(item: str, count: int) -> str:
    return f"[{','.join([item] * count)}]"


def named(form: str, count: int) -> str:
    return "{" + ",".join(form % number for number in range(count)) + "}"


BODIES = {
    "null characters below nested names": nested(400, listed(r'"\u0000"', 60_000)),
    "few of them, below names that are nested as deep as may be": nested(29, listed(r'"\u0000"', 9_000)),
    "null characters as names": named(r'"\u0000%d": 1', 9_000),
    "halves of surrogate pairs": named(r'"%d": "\ud800"', 9_000),
    "unknown fields": named('"%d": 1', 90_000),
    "fewer unknown fields": named('"%d": 1', 9_000),
    "unknown fields of long names": named('"' + "é" * 2_000 + '%d": 1', 100),
    "a list of lists": f'{{"username": {listed("[]", 300_000)}}}',
    "a list of objects": f'{{"username": {listed("{}", 300_000)}}}',
    "deep lists": '{"username": ' + "[" * 400_000,
    "deep objects": nested(90_000, "1", "a"),
    "control characters": '{"username": "' + r"\u0001" * 100_000 + '"}',
    "a long number": '{"username": ' + "9" * 900_000 + "}",
    "a long text": '{"username": "' + "x" * 900_000 + '"}',
    "one name again and again": "{" + '"a": 1, ' * 90_000 + '"a": 1}',
    "a long name given twice": '{"%s": 1, "%s": 1}' % (("x" * 400_000,) * 2),
}


def texts_in(errors: Any) -> int:
    if isinstance(errors, dict):
        return sum(map(texts_in, errors.values()))
    if isinstance(errors, list):
        return sum(map(texts_in, errors))
    return 1


def check_small(response: Any) -> None:
    assert len(response.content) < LARGEST_ANSWER
    assert texts_in(response.json().get("errors", {})) <= MAX_ERRORS


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_of_junk_gives_a_small_answer(body: str) -> None:
    response = APIClient().post(LOGIN, body, content_type="application/json")

    assert response.status_code == 400
    check_small(response)


JUNK: dict[str, Any] = {
    "long text": '"' * 20_000,
    "many texts": ["x" * 100] * 900,
    "many numbers": list(range(2_000)),
    "many objects": [{}] * 900,
    "many names": {str(number): None for number in range(900)},
}


@pytest.mark.parametrize(
    ("method", "path"),
    [pytest.param(*key, id=" ".join(key)) for key, case in sorted(CASES.items()) if case.body],
)
def test_junk_in_every_field_of_every_operation_gives_a_small_answer(method: str, path: str) -> None:
    case = CASES[method, path]
    assert case.body is not None
    member = MembershipFactory(role="admin")
    user = UserFactory(is_staff=True) if case.staff else member.user
    client = APIClient()
    client.force_authenticate(user)
    address = path.format(**(case.ids(member) if case.ids else {}))
    names = case.body(member) or {"account": 1}

    for junk in select_evenly(JUNK.values(), 2):
        response = client.generic(
            method, address, json.dumps(dict.fromkeys(names, junk)), content_type="application/json"
        )
        assert response.status_code >= 400
        check_small(response)


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"unknown{number}=1" for number in range(250)),
        "&".join(f"{'%00' * 90}{number}=1" for number in range(10)),
        "ordering=" + "x," * 1_500,
        "search=" + "%27" * 1_200,
        "page=" + "9" * 3_500,
        "status=" + "%22" * 1_200,
        "&".join(["status=nothing"] * 250),
        "format=" + "x" * 3_500,
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/vms/", "/api/v1/auth/tokens/", "/api/v1/cloud-resources/"])
def test_a_query_of_junk_gives_a_small_answer(path: str, query: str) -> None:
    client = APIClient()
    client.force_authenticate(MembershipFactory().user)

    response = client.get(f"{path}?{query}")

    assert 400 <= response.status_code < 500
    check_small(response)


@pytest.mark.parametrize("path", ["/api/v1/vms/", "/api/v1/nothing/", "/vms/", "/login/"])
def test_an_address_that_is_too_long_is_414(path: str) -> None:
    for address in (path + "?a=" + "x" * 5_000, path + "x" * 5_000):
        response = Client().get(address)

        assert response.status_code == 414
        assert len(response.content) < LARGEST_ANSWER


# --- Forms ---------------------------------------------------------------------------------------------------


@pytest.fixture
def administrator() -> Client:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize("path", ["/login/", "/admin/login/", "/language/setlang/"])
@pytest.mark.parametrize("name", ["username", "next", "language"])
def test_a_form_that_would_be_repeated_at_length_is_413(path: str, name: str) -> None:
    response = Client().post(path, {name: '"' * 20_000})

    assert response.status_code == 413
    assert len(response.content) < LARGEST_ANSWER


PAGES = ["/login/", "/vms/new/", "/accounts/new/", "/volumes/new/", "/vms/ask/", "/tenant/"]
FIELDS = [
    "username",
    "password",
    "next",
    "name",
    "description",
    "count",
    "type",
    "size_gb",
    "information_system",
    "account",
    "ids",
    "action",
]


def admin_pages() -> list[str]:
    models = [model._meta for model in admin.site._registry]
    return [f"/admin/{meta.app_label}/{meta.model_name}/add/" for meta in models]


def test_long_values_in_forms_are_not_repeated_in_messages(administrator: Client) -> None:
    for path in [*PAGES, *select_evenly(admin_pages(), 15)]:
        page = administrator.get(path)
        if path in admin_pages() and page.status_code == 403:
            continue
        form = getattr((page.context or {}).get("adminform"), "form", ())
        fields = [field.html_name for field in form] or FIELDS
        value = '"' * (8_000 // len(fields))
        response = administrator.post(path, dict.fromkeys(fields, value), follow=True)
        assert response.status_code in {200, 302, 400, 403, 404, 405, 409, 413}, path
        assert len(response.content) < LARGEST_ANSWER + len(page.content), path


def test_the_messages_of_a_form_are_cut() -> None:
    class Form(forms.Form):
        kind = forms.ChoiceField(choices=[("a", "A")])
        kinds = forms.MultipleChoiceField(choices=[("a", "A")])

        def clean(self) -> None:
            for number in range(5_000):
                self.add_error("kind", f"{number} is wrong.")

    form = Form({"kind": "x" * 100_000, "kinds": ["y" * 100_000]})

    assert len(str(form.errors)) < 10_000


def test_no_form_takes_files() -> None:
    response = Client().post("/login/", {"file": SimpleUploadedFile("a", b"x" * 100)})

    assert response.status_code == 400


def test_a_body_is_measured_before_it_is_read() -> None:
    response = Client().post("/login/", "x" * 1_100_000, content_type="text/plain")

    assert response.status_code == 413


# --- The walk, and the last guard -------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    errors: Any = ["wrong"]
    for _ in range(levels):
        errors = {"n": errors}
    return errors


# Made by the test that takes them: made with the module, each process of a test run would make and keep them all.
@pytest.mark.parametrize(
    "make_errors",
    [
        lambda: {str(number): ["wrong"] for number in range(100_000)},
        lambda: {"ids": {number: ["wrong"] for number in range(100_000)}},
        lambda: {"ids": [{}] * 100_000},
        lambda: {"ids": [{"name": ["wrong"]}] * 100_000},
        lambda: {"ids": ["x" * 10_000] * 1_000},
        lambda: {"n" * 1_000_000: ["wrong"]},
        lambda: {"": {"": {"": [[[[[["\ud800" * 1_000]]]]]]}}},
        lambda: deep(50_000),
    ],
)
def test_errors_are_limited_in_number_length_and_depth(make_errors: Callable[[], Any]) -> None:
    errors = make_errors()
    kept, cut = limit_errors(errors)

    assert cut or len(str(errors)) > MAX_NAME_LENGTH
    assert texts_in(kept) <= MAX_ERRORS
    assert len(json.dumps(kept).encode()) < MAX_PROBLEM_BYTES


class Endless(dict[str, Any]):
    """Errors that never end."""

    def items(self) -> Any:
        return ((str(number), [{"name": ["wrong"]}]) for number in itertools.count())


def test_the_walk_stops_at_its_bounds() -> None:
    kept, cut = limit_errors({"outer": Endless()})

    assert cut
    assert texts_in(kept) == MAX_ERRORS


def test_few_errors_are_as_they_were() -> None:
    errors = {"disk": {"size": ["Too large."]}, "tags": [{}, {"name": ["Missing."]}]}

    assert limit_errors(errors) == (errors, False)


def test_what_was_left_out_is_said() -> None:
    refused = InvalidError("invalid", "No.", errors={str(number): ["wrong"] for number in range(21)})

    assert problem_response(refused, {}).data["truncated"] is True
    wrong = exceptions.ValidationError({str(number): ["wrong"] for number in range(20)})
    assert "truncated" not in problem_response(wrong, {}).data


def test_other_members_of_a_problem_have_a_limit() -> None:
    members = problem(
        409, "locked", "x" * 1_000_000, extra={"instances": [{"id": "x" * 100}] * 5_000, "job": "1"}
    )

    assert members["job"] == "1"
    assert len(members["instances"]) == 20
    assert members["truncated"] is True
    huge = problem(409, "locked", extra={"allowed": {"a": "x" * 1_000_000}})
    assert "allowed" not in huge
    assert huge["code"] == "locked"


def test_combining_marks_do_not_take_time() -> None:
    field = PlainCharField(max_length=100)
    with pytest.raises(exceptions.ValidationError, match="combining"):
        field.run_validation("a" + "\u0316\u0301" * 200_000)

    assert field.run_validation("a" + "\u0316\u0301" * 10)
