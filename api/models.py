"""API tokens, sessions, idempotency keys with their responses, and counts of wrong passwords."""

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

# The precision of `last_used_at`: a program that sends ten requests a second must not cause as many writes.
LAST_USED_PRECISION = timedelta(minutes=5)


class ApiTokenManager(models.Manager["ApiToken"]):
    """A manager that creates tokens."""

    def create(  # type: ignore[override]
        self, *, user: Any, name: str, expiry: timedelta | None, **limits: Any
    ) -> tuple[ApiToken, str]:
        """Create a token; return its row and the token itself, which is stored nowhere. `expiry` counts from now.

        `limits` are the columns that limit the token of a service account.
        """
        digest, token = get_digest_token()
        row = super().create(
            user=user,
            # The epoch that the caller has read: if the password changes at the same time, the token is not valid.
            credentials_epoch=user.credentials_epoch,
            name=name,
            digest=digest,
            # A column of knox: the beginning of the token, too short to guess the rest.
            token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH],
            expiry=None if expiry is None else timezone.now() + expiry,
            **limits,
        )
        return row, token


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """An API token of a user. Only its hash is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    # The token ends when the user's epoch is incremented (tenants/models.py).
    credentials_epoch = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    # Written at most once in `LAST_USED_PRECISION`.
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    # The limits of a service account's token (token_limits.py). Those of a person have none: there `tenant_id` is empty.
    tenant_id = models.UUIDField(null=True, editable=False)
    role = models.CharField(_("role"), max_length=10, blank=True, default="", db_default="")
    scopes = models.JSONField(_("scopes"), default=list, db_default=models.Value([], models.JSONField()))
    # Addresses and networks from which the token is accepted; empty: from everywhere.
    allowed_addresses = models.JSONField(
        _("allowed addresses"), default=list, db_default=models.Value([], models.JSONField())
    )

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

    def record_use(self) -> None:
        """Write the time of the last use, at most once in `LAST_USED_PRECISION`."""
        now = timezone.now()
        if self.last_used_at is not None and now - self.last_used_at < LAST_USED_PRECISION:
            return
        is_outdated = models.Q(last_used_at=None) | models.Q(last_used_at__lt=now - LAST_USED_PRECISION)
        ApiToken.objects.filter(is_outdated, pk=self.pk).update(last_used_at=now)


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    """Sessions of users."""

    def usable(self, user: Any) -> UserSessionQuerySet:
        """Return the sessions of a user that are accepted now."""
        return self.filter(
            user_id=user.pk, credentials_epoch=user.credentials_epoch, expires_at__gt=timezone.now()
        )


class UserSession(models.Model):
    """What a user is told about one of their sessions, so that they can recognize and end it.

    It stands beside Django's own row, which has the session's data under its key. Here the key is hashed: who reads this
    table cannot act in a session. `sessions.py` keeps it in step.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    # SHA-256 of the key, which is random and too long to be guessed from its hash.
    key_digest = models.CharField(max_length=64, unique=True)
    # The session ends when the user's epoch is incremented (tenants/models.py).
    credentials_epoch = models.PositiveBigIntegerField(default=0, db_default=0)
    # As the client sent it; pages and the API only show names that are found in it (user_agents.py).
    user_agent = models.CharField(max_length=300, blank=True, default="")
    # A text, because a link-local address has a zone, which the database's own type does not accept.
    address = models.CharField(max_length=64, blank=True, default="")
    # The session at the identity provider (`signin/services/provider_logouts.py`); empty for one that was opened with a password.
    provider_session = models.CharField(max_length=300, blank=True, default="", db_default="")
    created_at = models.DateTimeField(default=timezone.now)
    # Written at most once in `LAST_USED_PRECISION` by each process.
    last_used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    objects: ClassVar[Any] = UserSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-last_used_at", "id"]
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        indexes = [
            models.Index(fields=["expires_at"], name="user_session_by_end"),
            models.Index(
                fields=["provider_session"],
                name="user_session_by_provider",
                condition=~models.Q(provider_session=""),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class IdempotencyKey(models.Model):
    """A request that was carried out, and its response. Written in the transaction of the change itself.

    `status` is null only inside that transaction, so no other transaction sees it as null.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    # Keyed with SECRET_KEY: a body may hold a password, which could be guessed from an unkeyed hash in a stolen table.
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    # The rendered JSON, so that a replay is identical.
    body = models.TextField(blank=True, default="", db_default="")
    headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    # The response held a secret, which is stored nowhere: the body is empty, and a replay is refused.
    shown_once = models.BooleanField(default=False, db_default=False)
    # The roles and permissions that the request required (requirements.py); a replay requires them again.
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
    """A count of recent wrong passwords under the key of a limit (login_throttle.py)."""

    # A keyed hash, because users enter passwords into the username field by mistake.
    key = models.CharField(max_length=64, primary_key=True)
    # When all counted attempts are forgotten; each attempt moves it.
    empty_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["empty_at"], name="login_count_by_end")]

    def __str__(self) -> str:
        return self.key
