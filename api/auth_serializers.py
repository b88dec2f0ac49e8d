"""Serializers of the auth endpoints."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from .models import ApiToken
from .serializers import PlainCharField, StrictSerializer
from .time_zones import validate_time_zone

THEMES = ("light", "dark")
# Longer than any password in use, short enough to hash at once.
MAX_PASSWORD_LENGTH = 1024


class LoginSerializer(StrictSerializer):
    """A username and a password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False, write_only=True)


class NewTokenSerializer(StrictSerializer):
    """A name for the token, and username and password where there is no session."""

    username = serializers.CharField(max_length=150, required=False)
    password = serializers.CharField(
        max_length=MAX_PASSWORD_LENGTH, required=False, trim_whitespace=False, write_only=True
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
        choices=THEMES,
        allow_blank=True,
        required=False,
        help_text="The colors of pages. Empty: those of the browser's system.",
    )
