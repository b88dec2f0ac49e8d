"""SSH keys, user data and passwords in the API."""

from __future__ import annotations

import unicodedata
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.serializers import PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from ..models import SSHKey, UserDataTemplate
from ..user_data import UserDataError, check_user_data

# Keys of one VM; each adds some 100 to 2,800 bytes to its user data.
MAX_KEYS = 20
PASSWORD_ACTIONS = [("reset", "reset"), ("read", "read"), ("clear", "clear")]
# What a request may hold at all is limited elsewhere; this is for the message.
_MAX_KEY_TEXT = 64_000


class UserDataField(serializers.CharField):
    """User data as it was entered: neither trimmed nor normalized, because it is a program. No error repeats it."""

    default_error_messages = {
        "control": _("User data is text; there is a control character at position %(position)s."),
        "not_text": _("User data is text."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises a validation error without it."""
        if not isinstance(data, str):
            raise serializers.ValidationError(self.error_messages["not_text"], code="not_text")
        for position, character in enumerate(data, start=1):
            if unicodedata.category(character) in {"Cc", "Cs"} and character not in "\t\n\r\f":
                message = self.error_messages["control"] % {"position": position}
                raise serializers.ValidationError(message, code="control")
        if data.strip():
            try:
                check_user_data(data)
            except UserDataError as error:
                raise serializers.ValidationError(str(error)) from None
            return data
        return ""


class SecretLineField(serializers.CharField):
    """A text whose errors do not repeat it, because people paste private keys into it."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises a validation error without it."""
        if not isinstance(data, str):
            raise serializers.ValidationError(_("Enter the text of a public key."))
        return str(super().to_internal_value(data))


class LoginFieldsMixin(serializers.Serializer[Any]):
    """The fields of a new VM by which people log in to it."""

    ssh_keys = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=MAX_KEYS,
        help_text="IDs of own keys and of the tenant's.",
    )
    user_data = UserDataField(
        required=False,
        allow_blank=True,
        write_only=True,
        help_text="What cloud-init runs at the first boot; its first line names its kind, such as `#cloud-config`.",
    )
    config_drive = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Null leaves the choice to image and cloud."
    )
    deploy_key = serializers.BooleanField(
        default=False, help_text="Let the tenant's deploy key log in, as the user `deploy`."
    )
    register_host = serializers.BooleanField(
        default=False, help_text="Make the VM a host of deployments when it runs; needs `deploy_key`."
    )


class SSHKeySerializer(serializers.ModelSerializer[SSHKey]):
    """A public key. `tenant` is null for the caller's own."""

    class Meta:
        model = SSHKey
        fields = [
            "id", "name", "tenant", "type", "bits", "fingerprint", "public_key", "last_used_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewSSHKeySerializer(StrictSerializer):
    """A public key in OpenSSH's format; with `tenant`, that tenant's, else the caller's own."""

    name = PlainCharField(max_length=100)
    public_key = SecretLineField(max_length=_MAX_KEY_TEXT)
    tenant = serializers.UUIDField(required=False)


class RenameSSHKeySerializer(StrictSerializer):
    """The new name of a key."""

    name = PlainCharField(max_length=100)


class UserDataTemplateSerializer(serializers.ModelSerializer[UserDataTemplate]):
    """A template of user data, without its text."""

    updated_by = serializers.SlugRelatedField[Any]("username", read_only=True, allow_null=True)

    class Meta:
        model = UserDataTemplate
        fields = ["id", "name", "version", "updated_by", "created_at", "updated_at"]
        read_only_fields = fields


class UserDataTemplateDetailSerializer(UserDataTemplateSerializer):
    """A template with its text, for administrators of its tenant."""

    text = serializers.CharField()

    class Meta(UserDataTemplateSerializer.Meta):
        optional_fields = frozenset({"text"})
        fields = [*UserDataTemplateSerializer.Meta.fields, "text"]
        read_only_fields = fields


class NewUserDataTemplateSerializer(StrictSerializer):
    """A template of user data."""

    name = PlainCharField(max_length=100)
    text = UserDataField()


class VmUserDataSerializer(serializers.Serializer[Any]):
    """What a VM was given at its creation. `user_data` is what the person entered, "" for none."""

    user_data = serializers.CharField()
    config_drive = serializers.BooleanField(allow_null=True)
    ssh_keys = serializers.ListField(child=serializers.DictField())
    deploy_key = serializers.BooleanField()


class PasswordRequestSerializer(StrictSerializer):
    """What to do: set a new password, read the one that the VM has reported (Windows), or clear that one."""

    action = serializers.ChoiceField(choices=PASSWORD_ACTIONS, default="reset")


class ReportedPasswordSerializer(serializers.Serializer[Any]):
    """The password that the VM has reported, encrypted with the RSA key of its key pair, as it was last read."""

    encrypted_password = serializers.CharField(allow_null=True)
    read_at = serializers.DateTimeField(allow_null=True)
    decrypt_command = serializers.CharField(allow_null=True)


class PasswordJobSerializer(ReportedPasswordSerializer):
    """The job, and once in the answer to a reset the new password; null in its replays."""

    password = serializers.CharField(allow_null=True)
    job = JobSerializer(allow_null=True)
