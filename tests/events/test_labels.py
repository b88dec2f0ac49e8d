"""The labels of events: no reader sees a code."""

from __future__ import annotations

import pytest

from events.labels import OTHER_LABELS, REMINDER_LABELS, label_event
from events.models import Event
from notifications.defaults import ADMINISTRATOR_CODES, DEFAULT_CODES
from notifications.pages.event_choices import GROUPS

OFFERED = {code for codes, _label in GROUPS.values() for code in codes}
CODES = sorted(
    code
    for code in {*OFFERED, *DEFAULT_CODES, *ADMINISTRATOR_CODES, *OTHER_LABELS, *REMINDER_LABELS}
    if "*" not in code
)


@pytest.mark.parametrize("code", CODES)
def test_an_event_that_one_can_subscribe_to_has_a_label(code):
    label = label_event(Event(code=code, parameters={"kind": "vms.start"}))

    assert label
    assert code not in label
    assert "%(" not in label
