import json
import re
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.openapi_document import read_openapi_document

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document() -> Any:
    return read_openapi_document()


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_the_auth_endpoints_are_those_of_the_contract(document: Any) -> None:
    found = {
        (method, path): operation["operationId"]
        for path, method, operation in operations(document)
        if "/auth/" in path
    }

    assert found == {
        ("post", "/api/v1/auth/login"): "auth_login",
        ("post", "/api/v1/auth/logout"): "auth_logout",
        ("get", "/api/v1/auth/me"): "auth_me",
        ("patch", "/api/v1/auth/me"): "auth_me_change",
        ("get", "/api/v1/auth/sessions/"): "auth_sessions_list",
        ("post", "/api/v1/auth/sessions/end-others/"): "auth_sessions_end_others",
        ("delete", "/api/v1/auth/sessions/{id}/"): "auth_sessions_destroy",
        ("get", "/api/v1/auth/tokens/"): "auth_tokens_list",
        ("post", "/api/v1/auth/tokens/"): "auth_tokens_create",
        ("delete", "/api/v1/auth/tokens/{id}/"): "auth_tokens_destroy",
    }


def test_every_operation_documents_its_problems(document: Any) -> None:
    for path, method, operation in operations(document):
        refusals = {status for status in operation["responses"] if status >= "4"}
        assert {"400", "401", "403", "429"} <= refusals, (path, method)
        assert "{" not in path or "404" in refusals, (path, method)
        assert method == "get" or "409" in refusals, (path, method)
        for status in refusals:
            content = operation["responses"][status]["content"]
            assert content == {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "code" in document["components"]["schemas"]["Problem"]["required"]


def test_shared_headers(document: Any) -> None:
    def headers(method: str, path: str) -> set[str]:
        parameters = document["paths"][path][method].get("parameters", [])
        return {parameter["name"] for parameter in parameters if parameter["in"] == "header"}

    assert headers("post", "/api/v1/auth/login") == set()
    assert headers("post", "/api/v1/auth/tokens/") == {"Idempotency-Key"}
    assert headers("get", "/api/v1/vms/") == {"X-Tenant"}


def test_operation_ids_are_unique_and_plain(document: Any) -> None:
    ids = [operation["operationId"] for _path, _method, operation in operations(document)]

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", one) for one in ids)


def test_both_ways_to_sign_in_are_documented(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]

    assert schemes["token"]["name"] == "Authorization"
    assert schemes["session"]["in"] == "cookie"


@pytest.mark.django_db
class TestPages:
    def test_the_document_is_served(self) -> None:
        response = APIClient().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})

        assert response.status_code == 200
        assert json.loads(response.content)["openapi"].startswith("3.1")

    def test_the_docs_need_nothing_that_the_policy_forbids(self) -> None:
        response = APIClient().get("/api/docs/", headers={"Accept": "text/html"})
        html = response.content.decode()

        assert response.status_code == 200
        assert (
            "script-src" not in response["Content-Security-Policy"]
        )  # So scripts fall under default-src 'self'.
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
        assert scripts
        assert all("src=" in attributes and not inside.strip() for attributes, inside in scripts)
        addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
        assert all(address.startswith("/") and not address.startswith("//") for address in addresses), (
            addresses
        )
        assert not re.search(r"\son\w+=", html)

    def test_the_docs_script_is_a_file_of_its_own_and_asks_nobody_else(self) -> None:
        script = APIClient().get("/api/docs/?script=", headers={"Accept": "*/*"})
        text = script.content.decode()

        assert script["Content-Type"].startswith("application/javascript")
        assert "/api/schema/" in text
        # Swagger UI would send the address of our document to a validator elsewhere, unless it is told not to.
        assert re.search(r'"validatorUrl":\s*null', text)
