"""What the form of an upgrade or a revert says: as it was entered, and as the service wants it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext as _

from portal.api.errors import BadFields

from ..models import MicroServiceInstance
from ..services import Candidate, Strategy, Wish

MOST_SECONDS = 3600
MOST_HOSTS = 10_000
# A number of hosts, or a share of them.
BATCH = re.compile(r"([1-9][0-9]{0,3}|10000|([1-9][0-9]?|100)%)\Z", re.ASCII)
WHOLE_NUMBER = re.compile(r"[0-9]{1,5}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entered:
    """The texts of the form, kept as they are, so that nothing is lost of them when something is wrong."""

    dest_version: str
    hosts: frozenset[str]
    batch: str = "1"
    pause: str = "0"
    max_failures: str = "0"
    auto_revert: bool = True

    @classmethod
    def at_first(cls, candidates: Sequence[Candidate], instances: Sequence[MicroServiceInstance]) -> Self:
        """What the form proposes: the version that ran before, else the nearest that is enabled; every host that is free.

        The candidates come newest first, so that the nearest is the newest one.
        """
        enabled = [one for one in candidates if one.enabled]
        proposed = next((one for one in enabled if one.default), enabled[0] if enabled else None)
        free = [one for one in instances if not (one.locked or one.is_maintain)]
        return cls(
            dest_version=str(proposed.version.pk) if proposed else "",
            hosts=frozenset(str(one.host_id) for one in free),
        )

    @classmethod
    def of(cls, form: QueryDict) -> Self:
        """What was sent."""
        return cls(
            dest_version=form.get("dest_version", ""),
            hosts=frozenset(form.getlist("hosts")),
            batch=form.get("batch", "").strip(),
            pause=form.get("pause", "").strip(),
            max_failures=form.get("max_failures", "").strip(),
            auto_revert=form.get("auto_revert") == "true",
        )

    def wish(self, candidates: Sequence[Candidate], *, dry_run: bool) -> Wish:
        """What is wanted. Raises `BadFields` with all that cannot be read."""
        errors: dict[str, list[str]] = {}
        dest = next((c.version.pk for c in candidates if str(c.version.pk) == self.dest_version), None)
        if dest is None:
            errors["dest_version"] = [_("Choose a version.")]
        hosts = _ids(self.hosts)
        if not hosts:
            errors["hosts"] = [_("Choose at least one host.")]
        if not BATCH.match(self.batch):
            errors["batch"] = [_("A number of at least 1, or a share such as 25%.")]
        for name, most in (("pause", MOST_SECONDS), ("max_failures", MOST_HOSTS)):
            text = str(getattr(self, name))
            if not WHOLE_NUMBER.match(text) or int(text) > most:
                errors[name] = [_("A whole number from 0 to %(most)s.") % {"most": most}]
        if errors or dest is None:
            raise BadFields(errors)
        strategy = Strategy(
            batch=self.batch if self.batch.endswith("%") else int(self.batch),
            pause=int(self.pause),
            max_failures=int(self.max_failures),
            auto_revert=self.auto_revert,
        )
        return Wish(dest_version=dest, hosts=hosts, strategy=strategy, dry_run=dry_run)


def _ids(texts: frozenset[str]) -> list[UUID]:
    """The ids of hosts; the page itself sends no others, so that what is none is left out."""
    ids = []
    for text in sorted(texts):
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return ids
