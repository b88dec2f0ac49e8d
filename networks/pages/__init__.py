"""The web pages of the room, a module for each subject. They change data through the services alone."""

from .floating_ips import floating_ip_page, release_floating_ip_page, take_floating_ip_page
from .security_group_forms import (
    add_rule_page,
    add_template_page,
    copy_security_group_page,
    edit_security_group_page,
    new_security_group_page,
    remove_rule_page,
    remove_security_group_page,
)
from .security_groups import security_group_detail_page, security_group_page
from .server_groups import new_server_group_page, remove_server_group_page, server_group_page

__all__ = [
    "add_rule_page",
    "add_template_page",
    "copy_security_group_page",
    "edit_security_group_page",
    "floating_ip_page",
    "new_security_group_page",
    "new_server_group_page",
    "release_floating_ip_page",
    "remove_rule_page",
    "remove_security_group_page",
    "remove_server_group_page",
    "security_group_detail_page",
    "security_group_page",
    "server_group_page",
    "take_floating_ip_page",
]
