"""The messages of results in the reader's language.

What has a code is shown by its code, so the label of the code is taken from the message. The release before has stored the
message in the language of whoever had started the deployment, so the label is recognized in each language of the portal.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import override

from ..executors.contract import Code
from ..models import DeploymentItem


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a host has not got the version: the kind of failure, and what more is known. Both are empty for a success."""

    label: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.label and f"{self.label}.", self.detail) if part)


def explain_result(item: DeploymentItem) -> Explanation:
    """Return the explanation of an item's result in the active language."""
    detail = item.message.strip()
    if item.code == Code.OK or item.result == DeploymentItem.Result.SUCCEEDED:
        return Explanation()
    if item.code not in Code.values:
        return Explanation(detail=detail)
    code = Code(item.code)
    for label in _list_translations(code.label):
        if item.message.startswith(label):
            # The message begins with the label, in whatever language.
            detail = item.message.removeprefix(label).lstrip(".。 ").strip()
    label = str(code.label)
    if code is Code.CANCELLED or (code is Code.FAILED and detail):
        # "Failed" is what the badge says.
        label = "" if detail else label
    return Explanation(label, detail)


def _list_translations(text: str | Promise) -> list[str]:
    """Return a text in all languages of the portal, the longest first: a shorter one may be the beginning of another."""
    translations = set()
    for language, _name in settings.LANGUAGES:
        with override(language):
            translations.add(str(text))
    return sorted(translations, key=len, reverse=True)
