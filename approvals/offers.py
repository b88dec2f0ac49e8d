"""Choices of policies that a room above knows: it offers them in its `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise

Choice = tuple[str, str | Promise]
_data_center_types: list[Choice] = []


def offer_data_center_types(choices: Sequence[Choice]) -> None:
    """Offer the data-center types that commands may name (`Command.describe_change`)."""
    _data_center_types[:] = choices


def list_data_center_types() -> list[Choice]:
    """Return the data-center types, with their labels."""
    return list(_data_center_types)
