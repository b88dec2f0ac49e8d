"""Remove the portal's key pairs that no VM uses any more from Nova."""

from __future__ import annotations

import re

import structlog

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError
from security.encryption import UnreadableSecretError
from tasks.restore_guard import is_paused

from ..models import VMLogin
from ..public_keys import key_pair_prefix

log = structlog.get_logger(__name__)


def remove_unused_key_pairs(account_id: int, region: str) -> int:
    """Delete the portal's key pairs in a region that no VM of the account uses; return their number.

    They are found by their names, which only this installation makes (`CLOUD_TAG`). VMs that are being created count, because
    their rows are written before their key pairs. A creation that begins between the check and the deletion imports its key
    again (`CreateVmCommand.request_server`).
    """
    account = CloudAccount.objects.filter(pk=account_id, active=True).first()
    if account is None or is_paused("vms.clean_key_pairs"):
        return 0
    own = re.compile(re.escape(key_pair_prefix()) + r"[0-9a-f]{32}")
    removed = 0
    try:
        compute = open_cloud(account, region).compute
        names = [pair.name for pair in compute.list_keypairs() if own.fullmatch(pair.name)]
        # Other accounts may have the same user in the cloud, whose key pairs are these.
        used = set(VMLogin.objects.filter(key_name__in=names).values_list("key_name", flat=True))
        for name in names:
            if name in used:
                continue
            compute.delete_keypair(name)
            removed += 1
    except CloudError as error:
        log.warning("key_pair_cleanup_failed", account=account_id, region=region, code=error.code)
    except UnreadableSecretError:
        log.warning("key_pair_cleanup_failed", account=account_id, region=region, code="unreadable_secret")
    if removed:
        log.info("key_pairs_removed", account=account_id, region=region, removed=removed)
    return removed
