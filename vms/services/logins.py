"""What a new VM gets so that people can log in: keys, user data, the deploy key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from cloudaccounts.placements import Errors
from security.encryption import UnreadableSecretError, encrypt
from tenants.models import InformationSystem, Tenant, User
from tenants.scoping import Role, Scope

from ..host_hooks import get_host_hooks
from ..models import PasswordReading, SSHKey, VirtualMachine, VMLogin
from ..public_keys import is_nova_importable, name_key_pair
from ..user_data import UserDataError, build_user_data


@dataclass(frozen=True, slots=True)
class Login:
    """The checked choices of one request for new VMs."""

    keys: Sequence[SSHKey] = ()
    user_data: str = ""
    config_drive: bool | None = None
    deploy_public_key: str = ""
    registers_host: bool = False

    @property
    def key_name(self) -> str:
        """Return the name of the key pair for Nova: that of the first key that Nova can import; "" without one."""
        return next(
            (name_key_pair(key.public_key) for key in self.keys if is_nova_importable(key.public_key)), ""
        )

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was chosen, so that nothing has to be stored."""
        return (
            not self.keys and not self.user_data and not self.deploy_public_key and self.config_drive is None
        )


def choose_login(
    scope: Scope, system: InformationSystem | None, params: Mapping[str, Any], problems: Errors
) -> Login:
    """Check the choices of a request, and add their errors by field to `problems`. Costs a query for keys, and one for the deploy key.

    Without a system, which is an error of its own, what depends on its tenant is not checked.
    """
    tenant = system.tenant if system is not None else None
    keys = _find_keys(scope, tenant, params.get("ssh_keys", ()), problems)
    deploy_key = _find_deploy_key(scope, tenant, params, problems)
    text = params.get("user_data", "")
    try:
        build_user_data([key.public_key for key in keys], text, deploy_key=deploy_key)
    except UserDataError as error:
        problems.setdefault("user_data", []).append(str(error))
    return Login(keys, text, params.get("config_drive"), deploy_key, bool(params.get("register_host")))


def save_logins(vms: Sequence[VirtualMachine], login: Login) -> None:
    """Store the choices for new VMs, in the transaction that writes their rows."""
    if login.is_empty:
        return
    keys = [
        {"name": key.name, "fingerprint": key.fingerprint, "public_key": key.public_key} for key in login.keys
    ]
    stored = encrypt(login.user_data)
    VMLogin.objects.bulk_create(
        VMLogin(
            vm=vm,
            ssh_keys=keys,
            key_name=login.key_name,
            deploy_public_key=login.deploy_public_key,
            encrypted_user_data=stored,
            config_drive=login.config_drive,
        )
        for vm in vms
    )
    if keys:
        SSHKey.objects.filter(pk__in=[key.pk for key in login.keys]).update(last_used_at=Now())


def forget_login_secrets(vm_ids: Collection[UUID]) -> None:
    """Delete the secrets of VMs that move to another tenant: they were the former tenant's."""
    VMLogin.objects.filter(vm__in=vm_ids).update(encrypted_user_data="")
    PasswordReading.objects.filter(vm__in=vm_ids).delete()


def read_login(*, scope: Scope, vm: VirtualMachine) -> tuple[VMLogin, str]:
    """Return what a VM of the scope was given at its creation, with the user data, for administrators. Raises 403."""
    scope.require(Role.ADMIN, VirtualMachine)
    login = VMLogin.objects.filter(vm=vm).first() or VMLogin(vm=vm)
    try:
        return login, login.decrypt_user_data()
    except UnreadableSecretError:
        return login, ""


def list_usable_keys(tenant: Tenant, user: User) -> list[SSHKey]:
    """Return the keys that a user may put into a VM of a tenant, their own first."""
    return list(SSHKey.objects.usable_in(tenant, user).order_by("tenant_id", "name", "pk"))


def has_deploy_key(tenant: Tenant) -> bool:
    """Return whether the tenant has a deploy key that a VM can be given."""
    hooks = get_host_hooks()
    return hooks is not None and bool(hooks.find_deploy_key(tenant))


def _find_keys(scope: Scope, tenant: Tenant | None, ids: Sequence[UUID], problems: Errors) -> list[SSHKey]:
    """Return the keys in the order of the request, each once. A foreign key is as unknown as one that never was."""
    wanted = list(dict.fromkeys(ids))
    if not wanted or tenant is None:
        return []
    found = {key.pk: key for key in SSHKey.objects.usable_in(tenant, scope.user).filter(pk__in=wanted)}
    if missing := [str(pk) for pk in wanted if pk not in found]:
        message = _("SSH key not found: %(ids)s.") % {"ids": ", ".join(missing)}
        problems.setdefault("ssh_keys", []).append(message)
    return [found[pk] for pk in wanted if pk in found]


def _find_deploy_key(scope: Scope, tenant: Tenant | None, params: Mapping[str, Any], problems: Errors) -> str:
    registers = bool(params.get("register_host"))
    if registers and not params.get("deploy_key"):
        message = _("A VM becomes a host only with the deploy key; set deploy_key as well.")
        problems.setdefault("register_host", []).append(message)
    if not params.get("deploy_key") or tenant is None:
        return ""
    hooks = get_host_hooks()
    if hooks is not None and registers:
        hooks.require_access(scope)
    key = hooks.find_deploy_key(tenant) if hooks is not None else ""
    if not key:
        message = _("The tenant has no deploy key. Create one first, or leave deploy_key out.")
        problems.setdefault("deploy_key", []).append(message)
    return key
