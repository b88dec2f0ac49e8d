"""Bodies of the auth endpoints."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from .models import ApiToken
from .serializers import PlainCharField, StrictSerializer


class LoginSerializer(StrictSerializer):
    """A user name and a password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=128, trim_whitespace=False, write_only=True)


class NewTokenSerializer(StrictSerializer):
    """A name for the token, and who asks, where no session says so."""

    username = serializers.CharField(max_length=150, required=False)
    password = serializers.CharField(max_length=128, trim_whitespace=False, required=False, write_only=True)
    name = PlainCharField(max_length=100)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """User name and password come together."""
        if ("username" in attrs) != ("password" in attrs):
            missing = "password" if "username" in attrs else "username"
            raise serializers.ValidationError({missing: [_("User name and password belong together.")]})
        return attrs


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token as its owner sees it afterwards: without the token itself."""

    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "expires_at"]


class MadeTokenSerializer(TokenSerializer):
    """A token just made: the one time that it is shown."""

    token = serializers.CharField()

    class Meta(TokenSerializer.Meta):
        fields = ["id", "name", "token", "expires_at"]


class MembershipOfMeSerializer(serializers.Serializer[Any]):
    """A tenant that one belongs to, and the role there."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    """Who am I."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField()
    is_staff = serializers.BooleanField()
    tenants = MembershipOfMeSerializer(many=True)
