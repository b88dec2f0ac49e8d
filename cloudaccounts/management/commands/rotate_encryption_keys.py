from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from security.encryption import ENCRYPTED_COLUMNS, UnreadableSecretError, rotate

BATCH = 500


class Command(BaseCommand):
    """Encrypt every stored secret again with the first key of ENCRYPTION_KEYS. After that the older keys can be removed.

    Put the new key first, restart every process, run this command, then remove the old key. It is safe to run while the
    portal runs, and to run again.
    """

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate column by column. Raises `CommandError` when a secret fits none of the keys."""
        unreadable: list[str] = []
        for model in apps.get_models():
            for column in model._meta.concrete_fields:  # noqa: SLF001 - Django's documented API.
                if column.name.startswith(ENCRYPTED_COLUMNS):
                    count = self.rotate_column(model, column.name, unreadable)
                    self.stdout.write(f"{model._meta.label}.{column.name}: {count} written anew")  # noqa: SLF001
        if unreadable:
            raise CommandError(
                f"{len(unreadable)} fit none of the keys and must be entered again: {', '.join(unreadable)}"
            )

    def rotate_column(self, model: type[models.Model], name: str, unreadable: list[str]) -> int:
        """Rotate one column in batches of rows; return the number of rows written.

        A row that is changed in the meantime is skipped: the change was encrypted with the first key.
        """
        rows, after, count = model._base_manager.exclude(**{name: ""}).order_by("pk"), None, 0  # noqa: SLF001
        while True:
            batch = list(
                (rows.filter(pk__gt=after) if after is not None else rows).values_list("pk", name)[:BATCH]
            )
            if not batch:
                return count
            for pk, stored in batch:
                try:
                    count += rows.filter(pk=pk, **{name: stored}).order_by().update(**{name: rotate(stored)})
                except UnreadableSecretError:
                    unreadable.append(f"{model._meta.verbose_name} {pk}")  # noqa: SLF001
            after = batch[-1][0]
