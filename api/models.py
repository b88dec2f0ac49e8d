"""Tokens, the answers that belong to idempotency keys, and counts of wrong passwords."""

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

# How exact `ApiToken.last_used_at` is: a program that asks ten times a second must not write as often.
LAST_USED_EVERY = timedelta(minutes=5)


class ApiTokenManager(models.Manager["ApiToken"]):
    """A manager that creates tokens."""

    def create(  # type: ignore[override]
        self, *, user: Any, name: str, expiry: timedelta | None
    ) -> tuple[ApiToken, str]:
        """Create a token; return its row, and the token itself, which is stored nowhere. `expiry` counts from now."""
        digest, token = get_digest_token()
        row = super().create(
            user=user,
            # As the caller has read it: should the password change at this moment, the token is born ended.
            credentials_epoch=user.credentials_epoch,
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
    # It ends when the user's own has moved on (tenants/models.py).
    credentials_epoch = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    # Written at most once in LAST_USED_EVERY.
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects: ClassVar[ApiTokenManager] = ApiTokenManager()

    class Meta:
        ordering = ["-created"]
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.user}: {self.name}"

    @property
    def is_usable(self) -> bool:
        """Return whether the token is accepted now. Reads the token's user."""
        user = self.user
        if not user.is_active or user.credentials_epoch != self.credentials_epoch:
            return False
        return self.expiry is None or self.expiry > timezone.now()

    def note_use(self) -> None:
        """Remember when it was used last; no more than one request in LAST_USED_EVERY writes."""
        now = timezone.now()
        if self.last_used_at is not None and now - self.last_used_at < LAST_USED_EVERY:
            return
        not_noted = models.Q(last_used_at=None) | models.Q(last_used_at__lt=now - LAST_USED_EVERY)
        ApiToken.objects.filter(not_noted, pk=self.pk).update(last_used_at=now)


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
    # What the caller was required to have (requirements.py): a replay requires it again.
    requirements = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_by_age")]

    def __str__(self) -> str:
        return self.key


class LoginCount(models.Model):
    """How many wrong passwords came lately from a network, or for a name (login_throttle.py)."""

    # A keyed hash: people type passwords into the field for their name.
    key = models.CharField(max_length=64, primary_key=True)
    # When everything counted is forgotten; each try moves it on.
    empty_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["empty_at"], name="login_count_by_end")]

    def __str__(self) -> str:
        return self.key
