"""The form of an upgrade or a revert, as entered and as parameters of the service."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Self
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext as _

from api.domain_errors import InvalidFieldsError

from ..services import Candidate, DeployParams, Strategy
from ..services.deployments import MAX_HOSTS, MAX_PAUSE

# A number of hosts, or a share of them.
BATCH = re.compile(r"([1-9][0-9]{0,2}|1000|([1-9][0-9]?|100)%)\Z", re.ASCII)
WHOLE_NUMBER = re.compile(r"[0-9]{1,5}\Z", re.ASCII)
# The values of `which`: all available hosts, or the selected ones, each in its own field.
AVAILABLE, SELECTED = "free", "ticked"


@dataclass(frozen=True, slots=True)
class ChangeForm:
    """The entered texts, kept unchanged so that a rejected form loses nothing."""

    dest_version: str
    hosts: frozenset[str]
    batch: str = "1"
    pause: str = "0"
    max_failures: str = "0"
    auto_revert: bool = True
    which: str = AVAILABLE

    @classmethod
    def propose(cls, candidates: Sequence[Candidate], failed: Collection[UUID]) -> Self:
        """Return the proposed form: the version that ran before, or the newest that did not fail, on every available host.

        The candidates are sorted from the newest. If all enabled ones have failed, the newest is proposed.
        """
        enabled = [one for one in candidates if one.enabled]
        preferred = [one for one in enabled if one.default]
        preferred += [one for one in enabled if one.version.pk not in failed]
        proposed = next(iter(preferred + enabled), None)
        return cls(dest_version=str(proposed.version.pk) if proposed else "", hosts=frozenset())

    @classmethod
    def from_post(cls, post: QueryDict) -> Self:
        """Return the submitted form."""
        return cls(
            dest_version=post.get("dest_version", ""),
            hosts=frozenset(post.getlist("hosts")),
            batch=post.get("batch", "").strip(),
            pause=post.get("pause", "").strip(),
            max_failures=post.get("max_failures", "").strip(),
            auto_revert=post.get("auto_revert") == "true",
            which=post.get("which", ""),
        )

    def to_params(self, candidates: Sequence[Candidate], *, dry_run: bool) -> DeployParams:
        """Return the parameters. Raises `InvalidFieldsError` with every invalid field."""
        errors: dict[str, list[str]] = {}
        dest = next((c.version.pk for c in candidates if str(c.version.pk) == self.dest_version), None)
        if dest is None:
            errors["dest_version"] = [_("Select a version.")]
        hosts = self._hosts(errors)
        if not BATCH.match(self.batch):
            errors["batch"] = [_("A number of at least 1, or a share such as 25%.")]
        for name, maximum in (("pause", MAX_PAUSE), ("max_failures", MAX_HOSTS)):
            text = str(getattr(self, name))
            if not WHOLE_NUMBER.match(text) or int(text) > maximum:
                errors[name] = [_("A whole number from 0 to %(most)s.") % {"most": maximum}]
        if errors or dest is None:
            raise InvalidFieldsError(errors)
        strategy = Strategy(
            batch=self.batch if self.batch.endswith("%") else int(self.batch),
            pause=int(self.pause),
            max_failures=int(self.max_failures),
            auto_revert=self.auto_revert,
        )
        # With all available hosts, one that becomes unavailable at the same time is left out, too.
        mode: Literal["all", "valid"] = "valid" if hosts == "all" else "all"
        return DeployParams(dest_version=dest, hosts=hosts, strategy=strategy, mode=mode, dry_run=dry_run)

    def _hosts(self, errors: dict[str, list[str]]) -> Literal["all"] | list[UUID]:
        """Return the selected hosts. Rejects an ambiguous selection: it could deploy to too many."""
        hosts = _parse_ids(self.hosts)
        if self.which == AVAILABLE and hosts:
            errors["hosts"] = [_("Select either all available hosts or individual hosts, not both.")]
        elif self.which == AVAILABLE:
            return "all"
        elif not hosts:
            errors["hosts"] = [_("Select at least one host.")]
        return hosts


def _parse_ids(texts: frozenset[str]) -> list[UUID]:
    """Return the host ids; the page sends nothing else, so other texts are dropped."""
    ids = []
    for text in sorted(texts):
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return ids
