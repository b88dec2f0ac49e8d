"""Messages of tasks are stored in the language of who started them, and shown in that of who reads them."""

from __future__ import annotations

import pytest
from django.utils import translation
from django.utils.translation import gettext

from api.stored_messages import translate_stored

FAULT = "No valid host was found. 100 % of the hosts are full."


def written(language, message, **values):
    with translation.override(language):
        return gettext(message) % values if values else gettext(message)


MESSAGES = [
    ("Canceled before it started.", {}),
    ("The cloud reports %(status)s: %(fault)s", {"status": "ERROR", "fault": FAULT}),
    ("The cloud reports %(status)s: %(fault)s", {"status": "ERROR", "fault": "多行\n的%(status)s故障"}),
    ("VM not found: %(id)s.", {"id": "web-1"}),
]


@pytest.mark.parametrize("stored", ["en", "zh-hans"])
@pytest.mark.parametrize("read", ["en", "zh-hans"])
@pytest.mark.parametrize(("message", "values"), MESSAGES)
def test_a_message_of_the_portal_is_read_in_the_readers_language(stored, read, message, values):
    text = written(stored, message, **values)

    with translation.override(read):
        assert translate_stored(text) == written(read, message, **values)


@pytest.mark.parametrize(
    "text", ["", "Nova said no", "a: b", "%(a)s", "%", "\\", "{x}", "x" * 5000, "2026-11-30", "主机说不行"]
)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_what_others_have_said_stays_as_it_is(text, language):
    with translation.override(language):
        assert translate_stored(text) == text
