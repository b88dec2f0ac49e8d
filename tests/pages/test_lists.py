"""The query of a list: filters, order and pages, and values that do not exist."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from pages.lists import MAX_SEARCH_LENGTH, Filter, read_list_query

STATUS = Filter("status", "Status", "All statuses", [("running", "running"), ("stopped", "stopped")])


def read(query, **options):
    return read_list_query(RequestFactory().get(f"/vms/{query}"), [STATUS], **options)


def test_a_filter_is_applied_and_can_be_taken_away():
    query = read("?status=running&search=a+b&page=3&page_size=50")

    assert (query.search, query.values, query.page_size) == ("a b", {"status": "running"}, 50)
    assert [(chip.label, chip.href) for chip in query.chips] == [
        ("“a b”", "?status=running&page_size=50"),
        ("Status: running", "?search=a+b&page_size=50"),
    ]
    assert query.encoded == "search=a+b&status=running"


def test_a_value_that_does_not_exist_is_refused_in_words():
    query = read("?status=<dancing>")

    assert query.values == {}
    assert query.refused == ["The filter “Status” has no value “<dancing>”; it is not applied."]
    assert not query.is_filtered


@pytest.mark.parametrize("ordering", ["password", "--name", "", "-", "name,pk", "pk"])
def test_only_the_named_columns_sort(ordering):
    assert read(f"?ordering={ordering}", orderings={"name"}, ordering="-at").ordering == "-at"
    assert read("?ordering=-name", orderings={"name"}, ordering="-at").ordering == "-name"


@pytest.mark.parametrize(
    "query", ["?page=x", "?page=-1", "?page=" + "9" * 50, "?page_size=100000", "?page_size=x"]
)
def test_a_page_that_does_not_exist_is_the_first_or_the_last(query):
    page = read(query).paginate(list(range(60)))

    assert len(page.object_list) in {10, 25}


def test_long_and_broken_texts_are_cut():
    query = read("?search=%00" + "x" * 5000 + "&status=" + "y" * 5000)

    assert len(query.search) == MAX_SEARCH_LENGTH
    assert len(query.refused[0]) < 200
