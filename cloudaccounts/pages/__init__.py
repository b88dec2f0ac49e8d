"""The web pages of the room, a file for each subject. They call the services and nothing else."""

from .account_actions import (
    accept_losses_page,
    remove_account_page,
    switch_account_page,
    sync_account_page,
    verify_account_page,
)
from .account_detail import account_detail_page, account_live_part
from .account_form import edit_account_page, new_account_page
from .accounts import account_page
from .resource_detail import resource_detail_page
from .resources import resource_page
from .sync_logs import sync_log_detail_page, sync_log_lines_part, sync_log_page

__all__ = [
    "accept_losses_page",
    "account_detail_page",
    "account_live_part",
    "account_page",
    "edit_account_page",
    "new_account_page",
    "remove_account_page",
    "resource_detail_page",
    "resource_page",
    "switch_account_page",
    "sync_account_page",
    "sync_log_detail_page",
    "sync_log_lines_part",
    "sync_log_page",
    "verify_account_page",
]
