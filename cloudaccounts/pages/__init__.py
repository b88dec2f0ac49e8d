"""The web pages of the room, a file for each subject. They call the services and nothing else."""

from .account_actions import (
    accept_losses_page,
    remove_account_page,
    switch_account_page,
    sync_account_page,
    verify_account_page,
)
from .account_detail import (
    account_detail_page,
    account_hosts_page,
    account_regions_page,
    account_types_page,
)
from .account_form import edit_account_page, new_account_page
from .account_hosts import read_hosts_page
from .accounts import account_page
from .catalogue import catalogue_page, grant_common_kinds_page, new_grant_page, remove_grant_page
from .changes import cloud_change_page
from .resource_detail import (
    resource_changes_page,
    resource_dependents_page,
    resource_detail_page,
    resource_topology_page,
)
from .resources import resource_by_cloud_id_page, resource_page
from .sync_logs import sync_log_detail_page, sync_log_page, sync_log_text

__all__ = [
    "accept_losses_page",
    "account_detail_page",
    "account_hosts_page",
    "account_page",
    "account_regions_page",
    "account_types_page",
    "catalogue_page",
    "cloud_change_page",
    "edit_account_page",
    "grant_common_kinds_page",
    "new_account_page",
    "new_grant_page",
    "read_hosts_page",
    "remove_account_page",
    "remove_grant_page",
    "resource_by_cloud_id_page",
    "resource_changes_page",
    "resource_dependents_page",
    "resource_detail_page",
    "resource_page",
    "resource_topology_page",
    "switch_account_page",
    "sync_account_page",
    "sync_log_detail_page",
    "sync_log_page",
    "sync_log_text",
    "verify_account_page",
]
