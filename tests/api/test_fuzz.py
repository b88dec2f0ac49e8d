"""Fuzz every operation of the API: invalid input gives no 500 and leaves no partial change.

Schemathesis reads the OpenAPI document and generates valid and invalid requests. Others are added
that no document describes: unusual headers, existing ids, almost valid bodies.
Each request is sent by an administrator of the tenant and rolled back afterwards, so each one meets the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from django.apps import apps
from django.core import signals
from django.db import close_old_connections, connection, transaction
from django.utils import translation
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.domain_errors import ConflictError
from api.models import ApiToken
from portal.wsgi import application
from tenants import services
from tenants.models import Membership
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.isolation.cases import CASES, Case
from tests.openapi_document import read_openapi_document
from tests.random_texts import texts
from tests.stories import ALL

pytestmark = pytest.mark.django_db

EXAMPLES = 60 if ALL else 1
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
SAFE = {"GET", "HEAD", "OPTIONS"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A session is not a change of anything, and a wrong password is counted on purpose.
# A failed sign-in, a refusal and an export are events, and reading the feed numbers them.
LEFT_OUT = {"sessions.session", "portal_api.logincount", "events.event", "events.eventchain"}


# --- What is sent -------------------------------------------------------------------------------------------

# Line breaks cannot come: they end a header before the portal sees it. A server cuts spaces at both ends.
latin_1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60).map(str.strip)
ODD = ["", "\x00", "\xff", "é", "%00", "'", '"', "null", "-1", "x" * 256, "é" * 300, "x" * 9000]
HEADERS = {
    "Idempotency-Key": [*ODD, "1", "k" * 255],
    "X-Tenant": [*ODD, "tenant-", "TENANT", "../x", "a,b"],
    "Prefer": [
        *ODD,
        *("wait=1", "wait=²", "wait=-1", 'wait="', "wait=" + "9" * 5000, "wait", "wait=;", "," * 3000, "=,;"),
    ],
    "If-Match": [*ODD, "*", '"1"', 'W/"1"', '"', '"' * 999, "," * 3000, '"²"', '"1", "2"'],
    "Accept-Language": [
        *ODD,
        *("zh-Hans", "xx", "*", "en;q=é", "en;q=9e999", "en," * 999, "zh-" + "x" * 600, "a-" * 400),
    ],
    "X-Request-ID": [*ODD, "x" * 128, "x" * 129, "a b", "\x1b[31m"],
}
odd_headers = st.fixed_dictionaries(
    {}, optional={name: latin_1 | st.sampled_from(values) for name, values in HEADERS.items()}
)

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0]),
    st.floats(allow_nan=False, allow_infinity=False),
    texts(max_size=40),
    st.sampled_from(
        ["", " ", "\x00", "\u202e", "\n", "\u2028", "é" * 101, "x" * 151, "x" * 20_000, "0" * 32]
    ),
    st.lists(st.integers() | texts(max_size=5), max_size=3),
    st.dictionaries(texts(max_size=5), texts(max_size=5), max_size=3),
)
broken_bodies = st.binary(max_size=40) | st.sampled_from(
    [b"", b"{", b"[]", b"null", b'{"name": NaN}', b'{"a": 1e999}', b'{"\\u0000": 1}', b'{"a": "\\ud800"}']
)


# What of a request is odd.
ODDITIES = [{"request", "headers", "ids", "body"}, {"request"}, {"headers"}, {"ids"}, {"body"}, {"body"}]


def ids_around(real: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    """Return for each id of the path the real one, an unknown one, an unusual spelling, or the generated text."""
    one = {
        name: st.one_of(
            st.just(str(value)),
            st.uuids().map(str),
            st.sampled_from(
                [str(value).upper(), str(value).replace("-", ""), f"{{{value}}}", f"{value}\x00"]
            ),
            st.none(),
        )
        for name, value in real.items()
    }
    # Both real half of the time: with two in a path, they would rarely meet.
    return st.just({name: str(value) for name, value in real.items()}) | st.fixed_dictionaries(one).map(
        lambda ids: {name: quote(value, safe="") for name, value in ids.items() if value is not None}
    )


def bodies_around(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate a valid body in which one or two fields, or unknown fields, are junk."""
    names = st.sampled_from([*good, "id", "description", "owner", "default_account", "hard", "dry_run"])
    return st.dictionaries(names, junk, min_size=1, max_size=2).map(lambda changed: {**good, **changed})


# --- What must hold -----------------------------------------------------------------------------------------


def rows() -> str:
    """Return a digest of every row of the database, without the tables of `LEFT_OUT`."""
    tables = sorted(
        {
            model._meta.db_table
            for model in apps.get_models(include_auto_created=True)
            if model._meta.managed and model._meta.label_lower not in LEFT_OUT
        }
    )
    digests = ", ".join(
        f"(SELECT md5(coalesce(string_agg(t::text, ' ' ORDER BY t::text), '')) FROM \"{table}\" AS t)"
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT md5(concat({digests}))")
        return str(cursor.fetchone()[0])


def written() -> int:
    """Return the number of rows that this transaction has written, including rolled back ones."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables")
        return int(cursor.fetchone()[0])


def is_aborted() -> bool:
    """Return whether PostgreSQL has aborted the transaction."""
    return bool(connection.connection.info.transaction_status == TRANSACTION_STATUS_INERROR)


def check_refusal(response: Any) -> None:
    """Check that a 4xx is a problem document."""
    assert response.headers["content-type"] == ["application/problem+json"]
    assert len(response.content) < 100_000
    members = response.json()
    assert members.keys() >= PROBLEM_MEMBERS, members
    assert members["status"] == response.status_code
    assert members["code"]
    assert members["type"] == f"/problems/{members['code']}"
    assert [members["request_id"]] == response.headers["x-request-id"]


@dataclass
class Caller:
    """Calls one operation repeatedly on the same rows, as an administrator."""

    operation: Any
    case: Case
    member: Membership = field(default_factory=lambda: MembershipFactory(role=Role.ADMIN))

    def __post_init__(self) -> None:
        if self.case.staff:
            self.member.user.is_staff = self.member.user.is_superuser = True
            self.member.user.save()
        token, secret = ApiToken.objects.create(user=self.member.user, name="fuzz", expiry=None)
        token.record_use()
        # A token makes no token: that operation takes name and password, of a request without one.
        makes_token = self.operation.label == "POST /api/v1/auth/tokens/"
        self.authorization = "" if makes_token else f"Token {secret}"
        self.ids = self.case.ids(self.member) if self.case.ids else {}
        self.real = {name: str(value) for name, value in self.ids.items()}
        self.body = self.case.body(self.member) if self.case.body else None
        if makes_token:
            self.body |= {"username": self.member.user.username, "password": "demo"}
        self.before = rows()
        self.answers: Counter[int] = Counter()
        raw = self.operation.definition.raw
        # Without parameters and without a body, nothing can be wrong with a request.
        self.can_go_wrong = bool(raw.get("parameters") or raw.get("requestBody"))

    def right(self) -> Any:
        """Return a valid request."""
        if self.body is None:
            return self.operation.Case(path_parameters=self.ids)
        return self.operation.Case(path_parameters=self.ids, body=self.body, media_type="application/json")

    def call(self, request: Any, **kwargs: Any) -> int:
        """Send a request, check the response and its writes to the database, and roll it back."""
        if self.authorization:
            request.headers["Authorization"] = self.authorization
        # The language of a request stays with its thread.
        with transaction.atomic(), translation.override(translation.get_language()):
            wrote_before = written()
            response = request.call(**kwargs)
            request.validate_response(response, checks=CHECKS)
            if 400 <= response.status_code < 500:
                check_refusal(response)
            refused = response.status_code >= 400 or request.method in SAFE
            # What PostgreSQL itself refuses is taken back to where the request began. What was written otherwise may have
            # been taken back, too; a digest of everything takes longer than most requests do.
            if refused and not is_aborted() and written() != wrote_before:
                assert rows() == self.before, f"{response.status_code}, and yet something was changed"
            transaction.set_rollback(True)
        self.answers[response.status_code] += 1
        return int(response.status_code)

    def fuzz(self, *phases: Phase) -> None:
        """Send many requests: some with junk everywhere, and others with junk in one place, which get further."""
        modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if self.can_go_wrong else [])]
        requests = st.one_of([self.operation.as_strategy(generation_mode=mode) for mode in modes])
        bodies = sent = st.none()
        if self.body is not None:
            around = bodies_around(self.body)
            bodies = st.one_of(st.none(), around, around)
            sent = st.sampled_from([False, False, False, True]).flatmap(
                lambda broken: broken_bodies if broken else st.none()
            )

        @settings(
            max_examples=EXAMPLES,
            phases=phases,
            derandomize=True,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            st.sampled_from(ODDITIES),
            requests,
            st.booleans(),
            odd_headers,
            ids_around(self.ids),
            bodies,
            sent,
        )
        def one(
            odd: set[str], request: Any, bare: bool, headers: Any, ids: Any, body: Any, broken: Any
        ) -> None:
            if "request" not in odd:
                request = self.right()
            elif (
                bare or len(odd) == 1
            ):  # Most tenants that are made up are not there, nor what is behind them.
                request.headers.clear()
            if "headers" in odd:
                for name, value in headers.items():
                    request.headers[name] = value
            request.path_parameters = {**request.path_parameters, **(ids if "ids" in odd else self.real)}
            if self.body is not None and ("body" not in odd or body is not None):
                request.body = body if "body" in odd else self.body
                request.media_type = "application/json"
            self.call(request, **({} if broken is None or "body" not in odd else {"data": broken}))

        one()


# --- The tests ----------------------------------------------------------------------------------------------


@cache
def read_document() -> Any:
    document = schemathesis.openapi.from_dict(read_openapi_document())
    document.app = application
    return document


@pytest.fixture
def document(db: None, one_connection: None) -> Any:
    """Return the OpenAPI document."""
    return read_document()


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """Serve every request by the test's connection, in its transaction, as Django's test client does."""
    kinds = (signals.request_started, signals.request_finished)
    for kind in kinds:
        kind.disconnect(close_old_connections)
    yield
    for kind in kinds:
        kind.connect(close_old_connections)


@pytest.fixture(autouse=True)
def disable_limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Disable the limits of requests and failed logins, and waits for workers."""
    rates = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "1000000/min")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    settings.LOGIN_FAILURE_LIMIT = settings.LOGIN_NAME_LIMIT = 1_000_000
    settings.LOGIN_NETWORK_RATE = "1000000/min"
    monkeypatch.setattr("tasks.command_views.wait_for_job", lambda job, seconds: job)
    settings.JOB_EVENTS_SECONDS = 0
    # Hypothesis also draws constants of the modules that are loaded, and those depend on which tests ran before.
    none = providers.Constants()
    monkeypatch.setattr(providers, "_get_local_constants", lambda: none)
    providers.CONSTANTS_CACHE.cache.clear()
    yield
    providers.CONSTANTS_CACHE.cache.clear()


def caller_of(document: Any, method: str, path: str) -> Caller:
    return Caller(document[path][method], CASES[method, path])


def test_every_operation_is_fuzzed(document):
    found = {result.ok().label for result in document.get_all_operations()}

    assert found == {f"{method} {path}" for method, path in CASES}


@pytest.mark.parametrize(("method", "path"), [pytest.param(*key, id=" ".join(key)) for key in sorted(CASES)])
def test_bad_input_is_refused_and_changes_nothing(document, method, path):
    caller = caller_of(document, method, path)
    # Junk proves nothing around a request that is refused for another reason.
    assert caller.call(caller.right()) == caller.case.success_status

    caller.fuzz(Phase.generate, Phase.shrink)

    assert caller.answers.total() >= EXAMPLES // 2
    if ALL:  # Of a few requests, it may well be that all are wrong, or none.
        assert caller.answers[caller.case.success_status] > 1, "Nothing of the junk comes near what is right."
        # Where only the id can be wrong, all that are drawn may be real; the isolation matrix sends wrong ones.
        raw = caller.operation.definition.raw
        has_input = "requestBody" in raw or any(one["in"] == "query" for one in raw.get("parameters", []))
        assert not has_input or max(caller.answers) >= 400, "Nothing of the junk is wrong."


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/vms/{id}/actions/"),
        pytest.param("GET", "/api/v1/vms/", marks=pytest.mark.story),
        pytest.param("PATCH", "/api/v1/information-systems/{id}/", marks=pytest.mark.story),
    ],
)
def test_an_odd_header_on_a_request_that_is_right_otherwise(document, method, path, header):
    caller = caller_of(document, method, path)

    for value in HEADERS[header]:
        request = caller.right()
        request.headers[header] = value
        caller.call(request)

    assert caller.answers.total() == len(HEADERS[header])


MEMBERS = ("POST", "/api/v1/tenants/{id}/members/")


def test_half_a_change_would_be_noticed(document, monkeypatch):
    def half(*, tenant: Any, username: str, role: str) -> Any:
        tenant.description = "half"
        tenant.save()
        raise ConflictError("too_late", "After the first of two writes.")

    monkeypatch.setattr(services, "add_member", half)

    with pytest.raises(AssertionError, match="something was changed"):
        caller_of(document, *MEMBERS).fuzz(Phase.generate)


def test_an_error_of_the_portal_would_be_noticed(document, monkeypatch):
    def broken(**kwargs: Any) -> Any:
        raise RuntimeError("A bug.")

    monkeypatch.setattr(services, "add_member", broken)

    with pytest.raises(FailureGroup, match="Server error"):
        caller_of(document, *MEMBERS).fuzz(Phase.generate)
