"""What people are told of a cloud whose clock is far from the portal's."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _


def clock_warning(offset: float | None) -> str:
    """What to tell people of a clock that is far from ours, or ""."""
    if offset is None or abs(offset) < settings.CLOUD_CLOCK_WARN_SECONDS:
        return ""
    minutes, seconds = divmod(round(abs(offset)), 60)
    figures = {"minutes": minutes, "seconds": seconds}
    if offset < 0:
        return (
            _(
                "The cloud's clock is %(minutes)s min %(seconds)s s behind the portal's: set one of them right."
            )
            % figures
        )
    return (
        _("The cloud's clock is %(minutes)s min %(seconds)s s ahead of the portal's: set one of them right.")
        % figures
    )
