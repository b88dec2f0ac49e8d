"""The extent of the long tests: small by default, full with `PORTAL_STORIES` (`make stories`).

`PORTAL_STORIES` is the number of examples that a property-based test generates. If it is set, tests with a fixed list of
stories run all of them, whatever the number. Tests marked `story` are whole campaigns, and run only then; each of their
invariants also has a test that always runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

Story = TypeVar("Story")
SETTING = os.environ.get("PORTAL_STORIES")
ALL = SETTING is not None


def count_examples(by_default: int) -> int:
    """Return how many examples a property-based test generates."""
    return int(SETTING or by_default)


def select_evenly(stories: Iterable[Story], most: int) -> list[Story]:
    """Return all stories, or by default at most this many, spread evenly from the first to the last."""
    stories = list(stories)
    if ALL or len(stories) <= most:
        return stories
    return [stories[number * (len(stories) - 1) // max(most - 1, 1)] for number in range(most)]
