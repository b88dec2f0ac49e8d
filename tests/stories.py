"""How much the long tests do: little by default, everything with `PORTAL_STORIES` (`make stories`).

It is a number: so many stories are invented at random, and whatever it is, all of those that can be counted are told. Tests
marked `story` are whole campaigns: each of their invariants has a test of its own that always runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

Story = TypeVar("Story")
WISHED = os.environ.get("PORTAL_STORIES")
ALL = WISHED is not None


def invented(by_default: int) -> int:
    """How many stories to invent."""
    return int(WISHED or by_default)


def some(stories: Iterable[Story], most: int) -> list[Story]:
    """By default so many of them at most, spread evenly from the first to the last."""
    every = list(stories)
    if ALL or len(every) <= most:
        return every
    return [every[number * (len(every) - 1) // (most - 1)] for number in range(most)]
