"""The part of a creation that lets people log in: the key pair and the user data of a new server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.messages import message as _
from openstack_client import (
    CloudKeypairExistsError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
)
from openstack_client.compute import Compute

from ..models import VMLogin
from ..public_keys import name_key_pair
from ..user_data import build_user_data


def find_login(vm_id: str) -> VMLogin | None:
    """Return what a new VM is given; None when nothing was chosen."""
    return VMLogin.objects.filter(vm=UUID(vm_id)).first()


def import_key_pair(compute: Compute, login: VMLogin) -> str:
    """Import the key of a VM into Nova, and return ""; or why there is no key pair, which is no failure. Safe to repeat.

    A key pair is a second way for the key: cloud-init reads all keys from the user data. So a cloud that cannot take the key,
    because of its type or of a quota that all users of the credentials share, does not keep the VM from being created.
    """
    try:
        compute.create_keypair(login.key_name, find_imported_key(login))
    except CloudQuotaExceededError:
        return _("The cloud's quota of key pairs is used up. The keys reach the VM by cloud-init alone.")
    except (InvalidCloudRequestError, CloudKeypairExistsError):
        return _("The cloud can't import this key. The keys reach the VM by cloud-init alone.")
    return ""


def build_login_params(login: VMLogin | None, *, has_key_pair: bool) -> dict[str, Any]:
    """Return the arguments of `create_server` that let people log in. Raises `UnreadableSecretError`."""
    if login is None:
        return {}
    keys = [key["public_key"] for key in login.ssh_keys]
    return {
        "key_name": login.key_name if has_key_pair and login.key_name else None,
        "user_data": build_user_data(keys, login.decrypt_user_data(), deploy_key=login.deploy_public_key),
        "config_drive": login.config_drive,
    }


def find_imported_key(login: VMLogin) -> str:
    """Return the key that the key pair's name was made from; "" when the name is of another installation."""
    texts = [str(key["public_key"]) for key in login.ssh_keys]
    return next((text for text in texts if name_key_pair(text) == login.key_name), "")
