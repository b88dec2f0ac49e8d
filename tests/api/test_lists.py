from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from api.models import ApiToken, IdempotencyKey
from tenants.models import User
from tests.random_texts import texts

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]
LIST = "/api/list/"


@pytest.fixture
def tokens(user: User, client: APIClient) -> list[ApiToken]:
    """Create twelve tokens with two names, and the client's own, "test"."""
    for number in range(12):
        ApiToken.objects.create(user=user, name="ab"[number % 2], expiry=None)
    return list(ApiToken.objects.all())


def errors(client: APIClient, query: str, path: str = LIST) -> dict[str, Any]:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 400, response.content
    assert response.json()["code"] == "invalid"
    found: dict[str, Any] = response.json()["errors"]
    return found


class TestPages:
    def test_the_shape_and_the_way_through(self, client: APIClient, tokens: list[ApiToken]) -> None:
        seen: list[str] = []
        url: str | None = f"{LIST}?page_size=5"
        pages = 0
        while url:
            page = client.get(url).json()
            assert set(page) == {"count", "next", "previous", "results"}
            assert page["count"] == 13
            seen += [row["id"] for row in page["results"]]
            url, pages = page["next"], pages + 1

        assert pages == 3
        assert len(seen) == len(set(seen)) == 13
        assert parse_qs(urlsplit(page["previous"]).query) == {"page": ["2"], "page_size": ["5"]}

    @pytest.mark.parametrize("size", ["0", "201", "-1", "x", "", "1.5", "1e2", "９", "9" * 3000, "%00"])
    def test_a_bad_size_is_400(self, client: APIClient, size: str) -> None:
        assert set(errors(client, f"page_size={size}")) == {"page_size"}

    @pytest.mark.parametrize("page", ["0", "-1", "x", "last", "9" * 30, "1000000001"])
    def test_a_bad_page_is_400(self, client: APIClient, page: str) -> None:
        assert set(errors(client, f"page={page}")) == {"page"}

    def test_past_the_end_is_404(self, client: APIClient) -> None:
        response = client.get(f"{LIST}?page=2")

        assert (response.status_code, response.json()["code"]) == (404, "not_found")

    def test_the_limits_themselves_are_fine(self, client: APIClient, tokens: list[ApiToken]) -> None:
        assert len(client.get(f"{LIST}?page_size=1").json()["results"]) == 1
        assert len(client.get(f"{LIST}?page_size=200").json()["results"]) == 13


class TestFilters:
    def test_named_filters_search_and_order_work_together(
        self, client: APIClient, tokens: list[ApiToken]
    ) -> None:
        assert client.get(f"{LIST}?named=a").json()["count"] == 6
        assert client.get(f"{LIST}?one_of=a&one_of=b").json()["count"] == 12
        assert client.get(f"{LIST}?search=es&expired=true").json()["count"] == 1
        assert (
            client.get(f"{LIST}?made_after=2000-01-01T00:00:00Z&made_before=2001-01-01T00:00:00Z").json()[
                "count"
            ]
            == 0
        )

    def test_an_unknown_parameter_is_named_with_those_that_are_known(self, client: APIClient) -> None:
        found = errors(client, "nmaed=a&page=1")

        assert set(found) == {"nmaed"}
        for known in [
            "named",
            "one_of",
            "made_after",
            "made_before",
            "page",
            "page_size",
            "search",
            "ordering",
        ]:
            assert known in found["nmaed"][0]
        assert "made," not in found["nmaed"][0]

    def test_the_stem_of_a_range_is_no_parameter(self, client: APIClient) -> None:
        assert set(errors(client, "made=2000-01-01")) == {"made"}

    @pytest.mark.parametrize(
        "query",
        [
            "one_of=c",
            "made_after=yesterday",
            "key=not-a-uuid",
            "named=" + "x" * 21,
            "named=%00",
            "search=%00",
            "ordering=%00",
            "named=a&named=b",
            "page=1&page=2",
            "search=a&search=b",
            "search=" + "x" * 201,
            "search=" + "x+" * 11,
            "ordering=digest",
            "ordering=name,",
            "ordering=name,-name",
            "ordering=--name",
            "ordering=user__password",
            "ordering=%3F",
            "count=NaN",
            "%00=1",
        ],
    )
    def test_bad_values_are_400_by_name(self, client: APIClient, query: str) -> None:
        assert len(errors(client, query)) == 1

    def test_a_list_without_search_or_order_says_so(self, client: APIClient) -> None:
        assert set(errors(client, "search=a", "/api/bare/")) == {"search"}
        assert set(errors(client, "ordering=name", "/api/bare/")) == {"ordering"}

    def test_search_is_literal(self, client: APIClient, tokens: list[ApiToken]) -> None:
        assert client.get(f"{LIST}?search=%25").json()["count"] == 0
        assert client.get(f"{LIST}?search=_").json()["count"] == 0

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        name=st.sampled_from(
            [
                "named",
                "count",
                "one_of",
                "made_after",
                "expired",
                "key",
                "page",
                "page_size",
                "search",
                "ordering",
            ]
        )
        | texts(max_size=5),
        value=texts(max_size=30),
    )
    def test_nothing_in_a_query_gives_a_500(self, client: APIClient, name: str, value: str) -> None:
        encoded = f"{quote(name, errors='replace')}={quote(value, errors='replace')}"

        assert client.get(f"{LIST}?{encoded}").status_code in {200, 400, 404}


class TestOrdering:
    def sql(self, client: APIClient, query: str, path: str = LIST) -> str:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{path}?{query}").status_code == 200
        return (
            str(queries.captured_queries[-1]["sql"])
            .rpartition("ORDER BY")[2]
            .replace('"portal_api_apitoken".', "")
        )

    def test_ties_are_broken_by_the_key_in_the_same_direction(
        self, client: APIClient, tokens: list[ApiToken]
    ) -> None:
        assert self.sql(client, "ordering=name").split("LIMIT")[0].strip() == '"name" ASC, "digest" ASC'
        assert (
            self.sql(client, "ordering=name,-created").split("LIMIT")[0].strip()
            == '"name" ASC, "created" DESC, "digest" DESC'
        )
        assert self.sql(client, "", "/api/bare/").split("LIMIT")[0].strip() == '"created" DESC, "digest" DESC'

    def test_equal_names_are_each_seen_once_from_page_to_page(
        self, client: APIClient, tokens: list[ApiToken]
    ) -> None:
        seen = [
            row["id"]
            for page in range(1, 14)
            for row in client.get(f"{LIST}?ordering=name&page_size=1&page={page}").json()["results"]
        ]

        assert len(set(seen)) == 13


class TestCursorLines:
    @pytest.fixture
    def ids(self, user: User) -> list[int]:
        return [IdempotencyKey.objects.create(user=user, key=str(n), request_hash="").pk for n in range(5)]

    def test_a_reader_goes_on_where_he_was(self, client: APIClient, ids: list[int], user: User) -> None:
        first = client.get("/api/lines/?limit=3").json()
        rest = client.get(f"/api/lines/?after={first['after']}").json()
        end = client.get(f"/api/lines/?after={rest['after']}").json()

        assert [line["id"] for line in first["results"] + rest["results"]] == ids
        assert end == {"results": [], "after": ids[-1]}
        new = IdempotencyKey.objects.create(user=user, key="new", request_hash="").pk
        assert client.get(f"/api/lines/?after={end['after']}").json()["after"] == new

    @pytest.mark.parametrize(
        "query",
        ["after=-1", "after=x", "limit=0", "limit=1001", "after=" + "9" * 19, "page=1", "limit=1&limit=2"],
    )
    def test_bad_cursors_are_400(self, client: APIClient, query: str) -> None:
        assert set(errors(client, query, "/api/lines/")) == {query.partition("=")[0]}
