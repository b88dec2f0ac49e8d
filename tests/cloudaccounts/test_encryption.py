"""Encryption of secrets: with the first key; decryption with any."""

from __future__ import annotations

import traceback

import pytest
from django.conf import settings as project_settings

from cloudaccounts.models import CloudAccount
from security.encryption import UnreadableSecretError, decrypt, encrypt
from tests.factories import ScheduledAccountFactory

SECRET = "correct horse 🐎 battery staple"


@pytest.mark.parametrize("secret", [SECRET, "a\x00bcdef", "密码" * 500])
def test_decryption_returns_the_encrypted_secret(secret):
    stored = encrypt(secret)

    assert decrypt(stored) == secret
    assert secret not in stored


def test_the_same_secret_is_stored_differently_each_time():
    assert encrypt(SECRET) != encrypt(SECRET)


def test_empty_secret_is_stored_as_empty_text():
    assert encrypt("") == ""
    assert decrypt("") == ""


def test_secret_stays_readable_after_a_new_key_is_added(settings, new_key):
    old, new = new_key(), new_key()
    settings.ENCRYPTION_KEYS = [old]
    written_before = encrypt(SECRET)

    settings.ENCRYPTION_KEYS = [new, old]
    written_after = encrypt(SECRET)

    assert decrypt(written_before) == decrypt(written_after) == SECRET
    settings.ENCRYPTION_KEYS = [new]  # What was written since no longer needs the old key.
    assert decrypt(written_after) == SECRET


@pytest.mark.parametrize("damaged", [False, True], ids=["its key was dropped", "it was changed"])
def test_error_of_an_unreadable_secret_does_not_contain_it(settings, new_key, damaged):
    stored = encrypt(SECRET)
    if damaged:
        stored = stored[:-6] + "AAAA=="
    else:
        settings.ENCRYPTION_KEYS = [new_key()]

    with pytest.raises(UnreadableSecretError, match="ENCRYPTION_KEYS") as raised:
        decrypt(stored)

    said = "".join(traceback.format_exception(raised.value))
    assert SECRET not in said
    assert stored not in said
    assert not any(key in said for key in project_settings.ENCRYPTION_KEYS)


@pytest.mark.django_db
def test_an_account_keeps_its_secret_encrypted_in_the_database():
    account = ScheduledAccountFactory()
    account.set_secret(SECRET)
    account.save()

    (columns,) = CloudAccount.objects.filter(pk=account.pk).values()

    assert SECRET not in str(columns)
    assert CloudAccount.objects.get(pk=account.pk).decrypt_secret() == SECRET
