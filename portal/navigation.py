"""The navigation of the pages: groups of links, of which each user sees those that they may open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from approvals.services import count_waiting_for
from tenants.scoping import Role, Scope

UserTest = Callable[[Any], bool]


def is_any_user(user: Any) -> bool:
    """Return True: every user may open the page."""
    return True


def may_read_audit_log(user: Any) -> bool:
    """Return whether the user is an auditor or an administrator of a tenant, or is staff who may view events."""
    if user.is_staff:
        return bool(user.has_perm("events.view_event"))
    return any(Role(membership.role).covers(Role.AUDITOR) for membership in user.own_memberships)


def may_administer_webhooks(user: Any) -> bool:
    """Return whether the user administers a tenant, or is staff who may view or change webhooks."""
    if user.is_staff:
        return any(user.has_perm(f"notifications.{action}_webhook") for action in ("view", "change"))
    return any(membership.role == Role.ADMIN for membership in user.own_memberships)


def may_administer_policies(user: Any) -> bool:
    """Return whether the user administers a tenant, or is staff who may change policies."""
    if user.is_staff:
        return bool(user.has_perm("approvals.change_approvalpolicy"))
    return any(membership.role == Role.ADMIN for membership in user.own_memberships)


def has_one_of(*permissions: str) -> UserTest:
    """Build a test for staff with at least one of these permissions."""
    return lambda user: user.is_staff and any(user.has_perm(permission) for permission in permissions)


@dataclass(frozen=True)
class Link:
    """A link of the navigation. It is the current one on each path that begins with one of `prefixes`."""

    label: str | Promise
    url_name: str
    icon: str
    prefixes: tuple[str, ...]
    may_open: UserTest = is_any_user
    # How much waits for the user there; called once for each page as a whole.
    count: Callable[[Scope], int] | None = None


@dataclass(frozen=True)
class Group:
    """Links under a heading."""

    label: str | Promise
    links: tuple[Link, ...]


GROUPS = (
    Group("", (Link(gettext_lazy("Overview"), "overview", "home", ("/overview/",)),)),
    Group(
        gettext_lazy("Compute"),
        (
            Link(gettext_lazy("Virtual machines"), "vm-page", "server", ("/vms/",)),
            Link(gettext_lazy("VM snapshots"), "snapshot-page", "camera", ("/snapshots/",)),
        ),
    ),
    Group(
        gettext_lazy("Storage"),
        (
            Link(gettext_lazy("Volumes"), "volume-page", "circle-stack", ("/volumes/",)),
            Link(
                gettext_lazy("Volume snapshots"), "volume-snapshot-page", "camera", ("/volumes/snapshots/",)
            ),
        ),
    ),
    Group(
        gettext_lazy("Network"),
        (
            Link(
                gettext_lazy("Security groups"), "security-group-page", "shield-check", ("/security-groups/",)
            ),
            Link(gettext_lazy("Floating IPs"), "floating-ip-page", "globe-alt", ("/floating-ips/",)),
            Link(gettext_lazy("Server groups"), "server-group-page", "rectangle-group", ("/server-groups/",)),
        ),
    ),
    Group(
        gettext_lazy("Delivery"),
        (
            Link(gettext_lazy("Services"), "service-page", "cube", ("/services/",)),
            Link(gettext_lazy("Deployments"), "deployment-page", "rocket-launch", ("/deployments/",)),
            Link(gettext_lazy("Hosts"), "host-page", "server-stack", ("/hosts/",)),
            Link(gettext_lazy("Deploy keys"), "deploy-key-page", "key", ("/deploy-keys/",)),
        ),
    ),
    Group(
        gettext_lazy("Clouds"),
        (
            Link(gettext_lazy("Cloud accounts"), "account-page", "cloud", ("/accounts/",)),
            Link(gettext_lazy("Cloud inventory"), "resource-page", "rectangle-stack", ("/resources/",)),
            Link(
                pgettext_lazy("of cloud resources", "Changes"),
                "cloud-change-page",
                "arrows-right-left",
                ("/cloud-changes/",),
            ),
            Link(gettext_lazy("Sync history"), "sync-log-page", "arrow-path", ("/sync-logs/",)),
        ),
    ),
    Group(
        gettext_lazy("Activity"),
        (
            Link(
                gettext_lazy("Requests"),
                "request-page",
                "clipboard-document-check",
                ("/requests/",),
                count=count_waiting_for,
            ),
            Link(gettext_lazy("Tasks"), "task-page", "queue-list", ("/tasks/", "/jobs/")),
            Link(gettext_lazy("VM operations"), "activity-page", "clock", ("/activity/",)),
            Link(
                gettext_lazy("Audit log"),
                "audit-page",
                "clipboard-document-list",
                ("/audit/",),
                may_read_audit_log,
            ),
        ),
    ),
    Group(
        gettext_lazy("Tenant"),
        (
            Link(gettext_lazy("Applications"), "system-page", "squares-2x2", ("/systems/",)),
            Link(gettext_lazy("Members"), "membership-page", "users", ("/membership/",)),
            Link(
                gettext_lazy("Service accounts"), "service-account-page", "cpu-chip", ("/service-accounts/",)
            ),
            Link(gettext_lazy("SSH keys"), "ssh-key-page", "key", ("/ssh-keys/",)),
            Link(
                gettext_lazy("User data templates"),
                "user-data-template-page",
                "document-text",
                ("/user-data-templates/",),
            ),
            Link(gettext_lazy("Quota"), "quota-page", "chart-bar", ("/quota/",)),
            Link(gettext_lazy("Notifications"), "subscription-page", "bell", ("/notifications/",)),
            Link(gettext_lazy("Webhooks"), "webhook-page", "bolt", ("/webhooks/",), may_administer_webhooks),
            Link(
                gettext_lazy("Approval policies"),
                "approval-policy-page",
                "hand-raised",
                ("/approval-policies/",),
                may_administer_policies,
            ),
        ),
    ),
    Group(
        pgettext_lazy("navigation", "Platform"),
        (
            Link(
                gettext_lazy("Volume pools"),
                "pool-page",
                "square-3-stack-3d",
                ("/pools/",),
                has_one_of("volumepool.view_volumepool", "volumepool.change_volumepool"),
            ),
            Link(
                gettext_lazy("Catalog"),
                "catalogue-page",
                "book-open",
                ("/catalogue/",),
                has_one_of("cloudaccounts.view_cataloguegrant", "cloudaccounts.change_cataloguegrant"),
            ),
            Link(
                gettext_lazy("Task queue"),
                "queue-page",
                "inbox-stack",
                ("/queue/",),
                has_one_of("tasks.view_job", "tasks.change_job"),
            ),
            Link(
                gettext_lazy("Platform admin"),
                "admin:index",
                "cog-6-tooth",
                ("/admin/",),
                lambda user: bool(user.is_staff),
            ),
        ),
    ),
)


def find_current(path: str) -> Link | None:
    """Return the link with the longest prefix of a path, as `/volumes/snapshots/` is not a page of `/volumes/`."""
    matches = [
        (len(prefix), link)
        for group in GROUPS
        for link in group.links
        for prefix in link.prefixes
        if path.startswith(prefix)
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


@cache
def _find_address(url_name: str) -> str:
    """Return the address of a link. It never changes in a process, and each page has more than thirty."""
    return reverse(url_name)


def list_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups with the links that the request's user may open, and which of them is current."""
    current = find_current(request.path)
    scope: Scope | None = getattr(request, "tenant_scope", None)
    groups = [
        {
            "label": group.label,
            "links": [
                {
                    "label": link.label,
                    "url": _find_address(link.url_name),
                    "icon": link.icon,
                    "is_current": link is current,
                    "count": link.count(scope) if link.count and scope else 0,
                }
                for link in group.links
                if link.may_open(request.user)
            ],
        }
        for group in GROUPS
    ]
    return [group for group in groups if group["links"]]
