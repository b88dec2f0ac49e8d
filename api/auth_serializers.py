"""Serializers of the auth endpoints."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from .models import ApiToken, UserSession
from .serializers import PlainCharField, StrictSerializer
from .time_zones import validate_time_zone
from .user_agents import read_user_agent

# Longer than any password in use, short enough to hash at once.
MAX_PASSWORD_LENGTH = 1024
MAX_CODE_LENGTH = 40
CODE_HELP_TEXT = (
    "The code of the authenticator app, or a recovery code. Required of users with a second factor."
)


def _list_user_choices(field: str) -> list[str]:
    """Return the values of a field of the user model, which is defined in a room above this one."""
    known: Any = get_user_model()._meta.get_field(field)  # noqa: SLF001 - Django's documented model API.
    return [value for value, _label in known.flatchoices]


class LoginSerializer(StrictSerializer):
    """A username and a password, and the code of a second factor."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False, write_only=True)
    code = serializers.CharField(
        max_length=MAX_CODE_LENGTH, required=False, write_only=True, help_text=CODE_HELP_TEXT
    )


class NewTokenSerializer(StrictSerializer):
    """A name for the token, and username and password where there is no session."""

    username = serializers.CharField(max_length=150, required=False)
    password = serializers.CharField(
        max_length=MAX_PASSWORD_LENGTH, required=False, trim_whitespace=False, write_only=True
    )
    code = serializers.CharField(
        max_length=MAX_CODE_LENGTH, required=False, write_only=True, help_text=CODE_HELP_TEXT
    )
    name = PlainCharField(max_length=100)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a username without a password, and a password without a username."""
        if ("username" in attrs) != ("password" in attrs):
            missing = "password" if "username" in attrs else "username"
            raise serializers.ValidationError({missing: [_("Send username and password together.")]})
        return attrs


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without the token itself."""

    created_at = serializers.DateTimeField(source="created", read_only=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "last_used_at", "expires_at"]
        read_only_fields = fields


class CreatedTokenSerializer(serializers.Serializer[Any]):
    """A token that was just created, with the token itself, which is shown only once."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    token = serializers.CharField()
    expires_at = serializers.DateTimeField(source="expiry")


class SessionSerializer(serializers.ModelSerializer[UserSession]):
    """A session of the user. Neither its key nor the hash of its key is shown."""

    browser = serializers.SerializerMethodField(
        help_text="The name of the browser or program. Empty: unknown."
    )
    system = serializers.SerializerMethodField(help_text="The name of its operating system. Empty: unknown.")
    is_current = serializers.SerializerMethodField(help_text="Whether this request belongs to the session.")

    class Meta:
        model = UserSession
        fields = [
            "id",
            "browser",
            "system",
            "address",
            "created_at",
            "last_used_at",
            "expires_at",
            "is_current",
        ]
        read_only_fields = fields

    def get_browser(self, session: UserSession) -> str:
        """Return the name of the browser."""
        return read_user_agent(session.user_agent).browser

    def get_system(self, session: UserSession) -> str:
        """Return the name of the system."""
        return read_user_agent(session.user_agent).system

    def get_is_current(self, session: UserSession) -> bool:
        """Return whether the caller uses this session."""
        return bool(session.key_digest == self.context.get("current_digest"))


class EndedSessionsSerializer(serializers.Serializer[Any]):
    """How many sessions were ended."""

    ended = serializers.IntegerField()


class OwnMembershipSerializer(serializers.Serializer[Any]):
    """A tenant of the user, and the user's role there."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    """The signed-in user."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField()
    is_staff = serializers.BooleanField()
    second_factor = serializers.CharField(
        help_text="totp: an authenticator app; passkey: a passkey and no app; provider: that of the identity provider. Empty: none."
    )
    language = serializers.CharField()
    time_zone = serializers.CharField(help_text="The zone in which times are shown. Empty: the tenant's.")
    theme = serializers.CharField(help_text="light or dark. Empty: that of the browser's system.")
    tenants = OwnMembershipSerializer(many=True)


class ProfileChangeSerializer(StrictSerializer):
    """Changes of the user's own profile."""

    time_zone = serializers.CharField(
        max_length=64,
        allow_blank=True,
        required=False,
        validators=[validate_time_zone],
        help_text="An IANA name, such as Europe/Berlin. Empty: the tenant's.",
    )
    language = serializers.ChoiceField(
        choices=[code for code, _name in settings.LANGUAGES],
        allow_blank=True,
        required=False,
        help_text="The language of pages. Empty: that of the browser.",
    )
    theme = serializers.ChoiceField(
        choices=_list_user_choices("theme"),
        allow_blank=True,
        required=False,
        help_text="The colors of pages. Empty: those of the browser's system.",
    )
