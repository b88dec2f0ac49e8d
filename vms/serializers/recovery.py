"""Requests for a rescue, a rebuild, a migration and an evacuation."""

from __future__ import annotations

from rest_framework import serializers

from api.serializers import PlainCharField, StrictSerializer

MIGRATION_KINDS = [("live", "live"), ("cold", "cold")]


class RescueSerializer(StrictSerializer):
    """The image to rescue a VM with; without one, the image that its server was built from."""

    image = PlainCharField(max_length=255, required=False)
    dry_run = serializers.BooleanField(default=False)


class UnrescueSerializer(StrictSerializer):
    """The end of a rescue takes no fields but `dry_run`."""

    dry_run = serializers.BooleanField(default=False)


class RebuildSerializer(StrictSerializer):
    """The image to rebuild a VM from (without one, the image that its server has), and what is kept of its first start."""

    image = PlainCharField(max_length=255, required=False)
    keep_key = serializers.BooleanField(default=True, help_text="Keep the key pair of the server.")
    keep_user_data = serializers.BooleanField(default=True, help_text="Keep the user data of the server.")
    dry_run = serializers.BooleanField(default=False)


class MigrationSerializer(StrictSerializer):
    """How a VM is moved to another host, and to which one; without a host, the cloud chooses."""

    kind = serializers.ChoiceField(choices=MIGRATION_KINDS)
    host = PlainCharField(max_length=255, required=False)
    dry_run = serializers.BooleanField(default=False)


class MigrationAbortSerializer(StrictSerializer):
    """The end of a live migration."""

    dry_run = serializers.BooleanField(default=False)


class EvacuationSerializer(StrictSerializer):
    """The host on which a VM is built anew; without one, the cloud chooses."""

    host = PlainCharField(max_length=255, required=False)
    dry_run = serializers.BooleanField(default=False)
