"""The filter of a list by tag, and its grouping by the values of a tag."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Func, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.utils.translation import gettext as _

from api.tags import describe_term_error, is_tag_key
from pages.lists import Filter
from pages.panels import is_panel_request

# Keys that a page offers. Others are still found by an address such as `?tag=key:value`.
MAX_KEYS = 100
MAX_ROWS = 1000


def build_tag_filters(request: HttpRequest, rows: QuerySet[Any], *, may_group: bool = False) -> list[Filter]:
    """Return the filters "tag" and, with `may_group`, "group", with the keys that the rows have; [] when none has a tag."""
    # A panel shows no filters, so it needs no more than to know that the address's own values are valid.
    keys = [] if is_panel_request(request) else list_tag_keys(rows)
    tag, group = request.GET.get("tag", "").strip(), request.GET.get("group", "").strip()
    if not keys and not tag and not group:
        return []
    choices = [(key, key) for key in keys]
    if tag and tag not in keys and describe_term_error(tag) is None:
        choices.append((tag, tag.replace(":", ": ", 1)))
    filters = [Filter("tag", _("Tag"), _("All tags"), choices, is_verbatim=True)]
    if may_group:
        groups = [key for key in [*keys, group] if is_tag_key(key)]
        choices = [(key, key) for key in dict.fromkeys(groups)]
        filters.append(Filter("group", _("Grouped by tag"), _("Not grouped"), choices, is_verbatim=True))
    return filters


def list_tag_keys(rows: QuerySet[Any]) -> list[str]:
    """Return the keys that some of the rows have, sorted: one query.

    Only `MAX_ROWS` rows with tags are read: all 60,000 of a fleet took 190 ms, for each page of its list.
    """
    tagged = rows.order_by().exclude(tags={}).values("pk")[:MAX_ROWS]
    keys = Func(F("tags"), function="jsonb_object_keys", output_field=CharField())
    found = rows.model.objects.order_by().filter(pk__in=tagged).annotate(key=keys)
    return sorted(found.values_list("key", flat=True).distinct()[:MAX_KEYS])


def order_by_tag(key: str) -> OrderBy:
    """Return the order of rows that are grouped by the values of a tag; rows without the tag come last."""
    return KeyTextTransform(key, "tags").asc(nulls_last=True)


def list_tags(tags: dict[str, str]) -> list[tuple[str, str]]:
    """Return tags for a template, sorted: `tags.items` in a template is the tag named "items", if there is one."""
    return sorted(tags.items())
