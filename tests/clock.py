"""The time that one module sees."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType, **functions: Callable[..., Any]) -> None:
    """Replace functions of `time` for one module, which imports it as `time`.

    They must not be replaced in the standard module itself: threads of other tests' servers and leases use it, too, and one
    that does not sleep runs for ever.
    """
    monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(time), **functions}))
