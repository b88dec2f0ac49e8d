import io
import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import APIException
from rest_framework.test import APIClient

from api.domain_errors import DomainError
from api.errors import status_of
from api.parsers import JSONParser

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=10,
)


def parse(body: bytes) -> Any:
    return JSONParser().parse(io.BytesIO(body))


def refusal(body: bytes) -> Any:
    with pytest.raises((APIException, DomainError)) as caught:
        parse(body)
    return caught.value


@settings(deadline=None)
@given(st.dictionaries(texts, values, max_size=5))
def test_every_storable_object_comes_through(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value).encode()) == value


@settings(deadline=None)
@given(st.binary())
@example(b"")
@example(b"\xff\xfe{\x00}\x00")
@example(b"\xef\xbb\xbf{}")
@example(b'{"a": 1e999}')
@example(b'{"a": NaN}')
@example(b'{"a": "\\ud800"}')
@example(b'{"\\u0000": 1}')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"a": ' + b"9" * 5000 + b"}")
@example(b'{"a": [' + b"[" * 500 + b"]" * 500 + b"]}")
def test_any_bytes_give_an_object_or_a_refusal(body: bytes) -> None:
    try:
        value = parse(body)
    except (APIException, DomainError) as error:
        status = status_of(error) if isinstance(error, DomainError) else error.status_code
        assert status == 400
    else:
        assert isinstance(value, dict)
        json.dumps(value, allow_nan=False).encode()


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_only_objects(body: bytes) -> None:
    assert "object" in str(refusal(body).detail)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_numbers_are_finite(number: bytes) -> None:
    assert refusal(b'{"a": %s}' % number).status_code == 400
    assert math.isfinite(parse(b'{"a": 1e308}')["a"])


def test_large_whole_numbers_are_fine() -> None:
    assert parse(b'{"a": 1' + b"0" * 400 + b"}") == {"a": 10**400}


def test_a_name_given_twice_is_refused_by_name() -> None:
    assert "'action'" in str(refusal(b'{"action": "start", "action": "stop"}').detail)
    assert parse(b'{"a": {"x": 1}, "b": {"x": 2}}') == {"a": {"x": 1}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"disks": [{"name": "\\u0000"}]}', "disks.0.name"),
        (b'{"name": "\\ud83d"}', "name"),
        (b'{"tags": {"a\\u0000": 1}}', "tags.a\\x00"),
    ],
)
def test_texts_that_cannot_be_stored_are_refused_by_field(body: bytes, field: str) -> None:
    error = refusal(body)

    assert set(error.errors) == {field}  # type: ignore[attr-defined]
    assert error.code == "invalid"  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.urls("tests.api.probes")
class TestOverHttp:
    def post(self, client: APIClient, body: bytes, content_type: str = "application/json") -> Any:
        return client.generic("POST", "/api/echo/", body, content_type=content_type)

    def test_an_object_comes_back(self, client: APIClient) -> None:
        assert self.post(client, '{"name": "字"}'.encode()).json() == {"name": "字"}

    def test_too_large_is_413(self, client: APIClient, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        just_fits = b'{"a": "' + b"x" * 91 + b'"}'

        assert self.post(client, just_fits).status_code == 200
        response = self.post(client, just_fits.replace(b"x", b"xx", 1))
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
        assert "100" in response.json()["detail"]

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
    )
    def test_other_types_are_415(self, client: APIClient, content_type: str) -> None:
        response = self.post(client, b'{"a": 1}', content_type)

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")

    def test_malformed_is_400(self, client: APIClient) -> None:
        response = self.post(client, b'{"a": ')

        assert (response.status_code, response.json()["code"]) == (400, "parse_error")
        assert response.json()["detail"]

    def test_not_utf8_names_the_byte(self, client: APIClient) -> None:
        assert "3" in self.post(client, b'{"a\xff": 1}').json()["detail"]
