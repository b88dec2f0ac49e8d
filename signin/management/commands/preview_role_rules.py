"""`manage.py preview_role_rules`: what the role rules do at a user's next sign-in."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from signin.models import ExternalIdentity
from signin.services.roles import RoleChange, plan_role_changes


class Command(BaseCommand):
    """Print what the role rules do at a user's next sign-in. Nothing is changed."""

    help = "Print what the role rules do at a user's next sign-in. Nothing is changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the user, or the provider and the groups of one who has not signed in yet."""
        parser.add_argument("username", nargs="?", help="a user who has signed in with a provider before")
        parser.add_argument(
            "--provider", help="the key of the provider, for a user who has not signed in yet"
        )
        parser.add_argument(
            "--group",
            action="append",
            default=None,
            help="a group, in place of those of the last sign-in; may repeat",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each tenant."""
        known = {**settings.OIDC_PROVIDERS, **settings.LDAP_SERVERS}
        user, provider, groups = None, options["provider"], options["group"]
        if options["username"]:
            identity = (
                ExternalIdentity.objects.select_related("user")
                .filter(user__username=options["username"])
                .first()
            )
            if identity is None:
                raise CommandError(f"No user '{options['username']}' has signed in with a provider.")
            user, provider = identity.user, identity.provider
            groups = identity.groups if groups is None else groups
        elif not provider:
            raise CommandError("Name a user, or a provider with --provider.")
        elif provider not in known:
            raise CommandError(
                f"No provider '{provider}' in the settings; there are: {', '.join(known) or 'none'}."
            )
        changes = plan_role_changes(user, provider, groups or [])
        for change in changes:
            self.stdout.write(f"{change.tenant.slug}: {_describe(change)}")
        if not changes:
            self.stdout.write("No rule fits, and no membership came by one.")


def _describe(change: RoleChange) -> str:
    before, after = change.before or "none", change.after or "none"
    if change.is_kept:
        return f"{before} (given by a person: stays)"
    return f"{before} -> {after}" if change.is_change else f"{before} (stays)"
