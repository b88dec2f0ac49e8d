"""The form of a volume pool, for its page and for the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from cloudaccounts.placements import explain_unusable

from .models import VolumePool
from .services.pools import validate_pool


class VolumePoolForm(forms.ModelForm[VolumePool]):
    """The form of a pool. Values that the last sync did not find in the account are refused by field."""

    def clean(self) -> dict[str, Any]:
        """Return the entered values. Adds errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        sources = [name for name in ("snapshot_id", "snapshot_prefix", "image_id") if entered.get(name)]
        if len(sources) > 1:
            message = _("Select one source: a snapshot, a snapshot prefix, or an image.")
            self.add_error(sources[-1], message)
        elif not self.errors and (wrong := self._explain_unusable(entered["account"])):
            self.add_error("account", wrong)
        elif not self.errors:
            # The instance gets the entered values only after this method.
            columns = {name: value for name, value in entered.items() if name in self.fields}
            for name, texts in validate_pool(VolumePool(**columns)).items():
                self.add_error(name, [str(text) for text in texts])
        return entered

    def _explain_unusable(self, account: CloudAccount) -> str | None:
        """Return why an account takes no new pool. An existing pool stays editable, whatever the state of its account."""
        return explain_unusable(account) if "account" in self.changed_data else None
