"""Verify that no event was changed, removed or added behind the portal's back."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.models import Event, EventChain
from events.numbering import find_breaks, number_all_events


class Command(BaseCommand):
    """`manage.py verify_audit`: exits with 1 and names each break of a chain."""

    help = (
        "Verifies the chains of all events. Keep the last digests that it prints: who has them can tell later whether a"
        " whole chain was written anew."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Number what has no number, and verify every chain."""
        number_all_events()
        broken = 0
        chains = list(EventChain.objects.select_related("tenant").order_by("tenant__slug"))
        for chain in chains:
            name = chain.tenant.slug if chain.tenant else "the platform"
            for break_ in find_breaks(chain):
                broken += 1
                self.stderr.write(f"{name}: {break_}.")
            self.stdout.write(f"{name}: {chain.last_number} events, last digest {chain.last_digest or '-'}")
        # A chain can be removed as a whole, but not the events that it had.
        known = {chain.tenant_id for chain in chains}
        for tenant_id in set(Event.objects.order_by().values_list("tenant", flat=True).distinct()) - known:
            broken += 1
            self.stderr.write(f"{tenant_id or 'the platform'}: the chain of its events is missing.")
        if broken:
            raise CommandError(f"{broken} breaks were found, as of {timezone.now():%Y-%m-%d %H:%M %Z}.")
