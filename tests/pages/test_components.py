"""The small components: badges, times, meters, amounts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone, translation

from pages.badges import find_tone
from pages.cloud_statuses import IMAGE_STATUSES, VOLUME_STATUSES
from pages.templatetags.components import (
    badge,
    cloud_badge,
    column,
    duration,
    elapsed,
    format_amount,
    meter,
    timestamp,
)
from tasks.models import JobStatus, StepStatus
from vms.models import VMStatus


def test_every_status_of_tasks_and_vms_has_a_tone_that_fits():
    for status in (*JobStatus.values, *StepStatus.values):
        assert (find_tone(status, "task") == "good") is (status == "succeeded"), status
    assert find_tone(VMStatus.RUNNING) == "good"
    assert find_tone("running", "task") == "busy"
    assert find_tone("what a cloud invents") == "neutral"


def test_a_badge_is_escaped_and_in_sentence_case():
    html = badge('<x> "y"', "running & well", title="<fault>")

    assert html.count("<") == 2
    assert ">Running &amp; well<" in html


def test_a_status_of_the_cloud_is_translated_and_its_own_word_shown():
    with translation.override("zh-hans"):
        html = cloud_badge("in-use")

    assert "使用中" in html
    assert 'title="in-use"' in html
    assert ">Weird<" in cloud_badge("weird")
    with translation.override("zh-hans"):
        untranslated = [
            status for status, label in {**VOLUME_STATUSES, **IMAGE_STATUSES}.items() if str(label).isascii()
        ]
    assert untranslated == []


def test_a_time_has_its_zone_and_a_form_for_programs():
    with timezone.override("Asia/Shanghai"):
        html = timestamp(datetime(2026, 3, 1, 20, 30, 5, tzinfo=UTC))

    assert 'datetime="2026-03-01T20:30:05+00:00"' in html
    assert ">2026-03-02 04:30 CST<" in html
    assert "never" in timestamp(None, missing="never")
    assert timestamp("2026-03-01T20:30:05Z") == timestamp(datetime(2026, 3, 1, 20, 30, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("used", "total", "tone", "width"),
    [
        (0, 10, "good", 0),
        (8, 10, "warning", 80),
        (10, 10, "bad", 100),
        (15, 10, "bad", 100),
        (0, 0, "bad", 100),
    ],
)
def test_a_meter_shows_how_full_it_is(used, total, tone, width):
    html = meter(used, total, "VMs")

    assert f'<svg class="{tone}"' in html
    assert f'<rect width="{width}"' in html
    assert f"{used} / {total}" in html


def test_without_a_limit_there_is_no_bar():
    assert "<svg" not in meter(5, None, "VMs")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12, "", "12"),
        (1500, "GiB", "1.5 TiB"),
        (2048, "GiB", "2 TiB"),
        (1000, "GiB", "1,000 GiB"),
        (1234567, "", "1,234,567"),
    ],
)
def test_amounts_have_separators_and_the_best_unit(value, unit, text):
    assert format_amount(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0.25, "0.2 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert duration(seconds) == text


def test_what_has_not_ended_has_no_length():
    now = datetime(2026, 3, 1, tzinfo=UTC)

    assert elapsed(now, None) == "—"
    assert elapsed(now.isoformat(), "2026-03-01T00:01:05+00:00") == "1 min 5 s"


def test_a_column_turns_its_order_round_and_keeps_the_filters():
    request = RequestFactory().get("/vms/?status=running&page=4&ordering=name")

    html = column({"request": request, "ordering": "name"}, "name", "Name")

    assert 'aria-sort="ascending"' in html
    assert 'href="?status=running&amp;ordering=-name"' in html


@pytest.mark.parametrize(
    "value", ['"><script>alert(1)</script>', "{{ settings }}", "{% now %}", "__import__('os')", "['a']"]
)
def test_a_value_in_a_component_is_a_text_and_nothing_more(value):
    # Components are compiled to templates: nothing that a user has named may be read as one.
    page = Template(
        '{% cotton header title="{{ name }}" count="1" %}{% endcotton %}{% cotton field id="x" label="{{ name }}" :errors="errors" %}{% endcotton %}'
    )

    html = page.render(Context({"name": value, "errors": [value]}))

    assert "<script>" not in html
    assert (
        html.count(
            value.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;")
        )
        == 3
    )
