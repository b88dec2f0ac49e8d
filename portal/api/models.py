"""Tokens, and the answers that belong to idempotency keys."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken, get_digest_token
from knox.settings import CONSTANTS


class ApiTokenManager(models.Manager["ApiToken"]):
    """Makes tokens."""

    def create(  # type: ignore[override]
        self, *, user: Any, name: str, expiry: timedelta | None
    ) -> tuple[ApiToken, str]:
        """A new token's row, and the token itself, which is kept nowhere. `expiry` counts from now."""
        digest, token = get_digest_token()
        row = super().create(
            user=user,
            name=name,
            digest=digest,
            # knox's own column. Part of the token, but far too little of it to guess the rest.
            token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH],
            expiry=None if expiry is None else timezone.now() + expiry,
        )
        return row, token


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """A program's key to the API: named, expiring, revocable; only its hash is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)

    objects: ClassVar[ApiTokenManager] = ApiTokenManager()

    class Meta:
        ordering = ["-created"]
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.user}: {self.name}"


class IdempotencyKey(models.Model):
    """A request that was carried out, and its answer. Written in the transaction of the change itself.

    `status` is empty only inside that transaction: nobody else ever sees it so.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    # Keyed with SECRET_KEY: bodies hold passwords, and a bare hash of one could be guessed from a stolen table.
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    # The rendered JSON as it was sent, so that a replay is the same to the byte.
    body = models.TextField(blank=True, default="", db_default="")
    headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    # The answer held a secret that is kept nowhere: the body is empty, and a replay is refused.
    shown_once = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_by_age")]

    def __str__(self) -> str:
        return self.key
