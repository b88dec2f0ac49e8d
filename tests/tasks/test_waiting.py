"""Places to wait in: only so many, and of one tenant only half of them."""

from __future__ import annotations

from contextlib import ExitStack

from tasks.waiting import waiting_slot


def test_a_tenant_holds_at_most_half_of_the_slots(settings):
    settings.WAITING_REQUESTS_AT_MOST = 4
    with ExitStack() as waiting:

        def enter(tenant):
            return waiting.enter_context(waiting_slot(tenant))

        assert [enter(1) for _number in range(4)] == [True, True, False, False]
        assert [enter(2) for _number in range(3)] == [True, True, False]
        # All places are taken.
        assert not enter(3)

    with waiting_slot(3) as may_wait:
        assert may_wait


def test_a_single_slot_is_used_by_one_tenant_after_another(settings):
    settings.WAITING_REQUESTS_AT_MOST = 1
    with waiting_slot(None) as first, waiting_slot(1) as second:
        assert (first, second) == (True, False)
