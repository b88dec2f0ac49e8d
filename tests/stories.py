"""How many of their stories the long tests tell: some by default, all with `PORTAL_STORIES` (`make stories`).

It is a number: of the stories that the tests invent at random, and whatever it is, all of those that can be counted.
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
