"""Every page of the portal, as the tests open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# By the name of the screenshot: the user, the address, and the links to follow from there, separated by " > ". Each is a
# selector, and after a bar what is added to the address of the link.
PAGES = {
    "overview": ("alice", "/overview/", ""),
    "search": ("alice", "/search/?q=shop", ""),
    "vms": ("alice", "/vms/", ""),
    "vms-empty": ("alice", "/vms/?search=nothing-like-this", ""),
    "vm-new": ("alice", "/vms/new/", ""),
    **{
        f"vm-{tab}": ("alice", "/vms/", f".name a|?tab={tab}")
        for tab in (
            "overview",
            "volumes",
            "network",
            "snapshots",
            "access",
            "console",
            "activity",
            "settings",
        )
    },
    "requests": ("alice", "/requests/", ""),
    "requests-waiting": ("admin", "/requests/?view=waiting", ""),
    "request": ("alice", "/requests/", ".name a"),
    "request-quota": ("alice", "/requests/quota/", ""),
    "request-delegation": ("alice", "/requests/delegations/new/", ""),
    "approval-policies": ("alice", "/approval-policies/", ""),
    "approval-policy-new": ("alice", "/approval-policies/new/", ""),
    "notifications": ("alice", "/notifications/", ""),
    "subscription-new": ("alice", "/notifications/new/", ""),
    "webhooks": ("alice", "/webhooks/", ""),
    "webhook": ("alice", "/webhooks/", ".name a"),
    "webhook-new": ("alice", "/webhooks/new/", ""),
    "second-factor": ("alice", "/preferences/second-factor/", ""),
    "passkey-new": ("alice", "/preferences/second-factor/passkeys/new/", ""),
    "service-accounts": ("alice", "/service-accounts/", ""),
    "service-account-new": ("alice", "/service-accounts/new/", ""),
    "own-ssh-keys": ("alice", "/preferences/keys/", ""),
    "own-ssh-key-new": ("alice", "/preferences/keys/new/", ""),
    "ssh-keys": ("alice", "/ssh-keys/", ""),
    "user-data-templates": ("alice", "/user-data-templates/", ""),
    "user-data-template-new": ("alice", "/user-data-templates/new/", ""),
    "vm-snapshots-list": ("alice", "/snapshots/", ""),
    "volumes": ("alice", "/volumes/", ""),
    "volume-snapshots": ("alice", "/volumes/snapshots/", ""),
    "volume-new": ("alice", "/volumes/new/", ""),
    "vms-bin": ("alice", "/vms/?in_bin=true", ""),
    "vm-move": ("alice", "/vms/", ".name a|move/"),
    "vm-release": ("alice", "/vms/", ".name a|release/"),
    "vm-rescue": ("alice", "/vms/", ".name a|rescue/"),
    "vm-rebuild": ("alice", "/vms/", ".name a|rebuild/"),
    "vm-migrate": ("admin", "/vms/", ".name a|migrate/"),
    "vm-abort-migration": ("admin", "/vms/", ".name a|abort-migration/"),
    "vm-evacuate": ("admin", "/vms/", ".name a|evacuate/"),
    "security-group": ("alice", "/security-groups/", ".name a"),
    "security-group-new": ("alice", "/security-groups/new/", ""),
    "security-group-copy": ("alice", "/security-groups/", ".name a|copy/"),
    "floating-ip-new": ("alice", "/floating-ips/take/", ""),
    "server-group-new": ("alice", "/server-groups/new/", ""),
    "security-groups": ("alice", "/security-groups/", ""),
    "floating-ips": ("alice", "/floating-ips/", ""),
    "server-groups": ("alice", "/server-groups/", ""),
    "catalog": ("admin", "/catalogue/", ""),
    "catalog-new": ("admin", "/catalogue/new/", ""),
    "account-unmanaged": ("admin", "/accounts/", ".name a, td a|unmanaged/"),
    "services": ("alice", "/services/", ""),
    "service-new": ("alice", "/services/new/", ""),
    "service-versions": ("alice", "/services/", ".name a, td a|versions/"),
    "version-new": ("alice", "/services/", ".name a, td a|versions/new/"),
    "version-edit": ("alice", "/services/", ".name a, td a|versions/ > a[href$='/edit/']"),
    "instance-new": ("alice", "/services/", ".name a, td a|instances/new/"),
    "instance-edit": ("alice", "/services/", ".name a, td a > a[href*='/instances/'][href$='/edit/']"),
    "service-deployments": ("alice", "/services/", ".name a, td a|deployments/"),
    "service-edit": ("alice", "/services/", ".name a, td a|edit/"),
    "service-settings": ("alice", "/services/", ".name a, td a|settings/"),
    "hosts": ("alice", "/hosts/", ""),
    "host-new": ("alice", "/hosts/new/", ""),
    "host": ("alice", "/hosts/", ".name a, td a"),
    "deploy-keys": ("alice", "/deploy-keys/", ""),
    "service": ("alice", "/services/", ".name a, td a"),
    "deployments": ("alice", "/deployments/", ""),
    "deployment": ("alice", "/deployments/", ".name a, td a"),
    "accounts": ("alice", "/accounts/", ""),
    "account-new": ("alice", "/accounts/new/", ""),
    "account-new-aws": ("alice", "/accounts/new/?provider=aws", ""),
    "account": ("admin", "/accounts/", ".name a, td a"),
    "account-types": ("admin", "/accounts/", ".name a, td a|types/"),
    "account-regions": ("admin", "/accounts/", ".name a, td a|regions/"),
    "account-hosts": ("admin", "/accounts/", ".name a, td a|hosts/"),
    "inventory": ("admin", "/resources/", ""),
    "resource": ("admin", "/resources/", ".name a, td a"),
    "resource-topology": ("admin", "/resources/?type=server", ".name a, td a|topology/"),
    "resource-dependents": ("admin", "/resources/?type=network", ".name a, td a|used-by/"),
    "cloud-changes": ("admin", "/cloud-changes/", ""),
    "sync-history": ("admin", "/sync-logs/", ""),
    "sync-log": ("admin", "/sync-logs/", ".name a, td a"),
    "vm-operations": ("alice", "/activity/", ""),
    "audit-log": ("alice", "/audit/", ""),
    "tasks": ("admin", "/tasks/", ""),
    "task": ("admin", "/tasks/", ".name a"),
    "queue": ("admin", "/queue/", ""),
    "pools": ("admin", "/pools/", ""),
    "pool": ("admin", "/pools/", ".name a, td a"),
    "pool-new": ("admin", "/pools/new/", ""),
    "application-new": ("alice", "/systems/new/", ""),
    "token-new": ("alice", "/preferences/tokens/new/", ""),
    "account-edit": ("admin", "/accounts/", ".name a, td a|edit/"),
    "host-edit": ("alice", "/hosts/", ".name a, td a|edit/"),
    "applications": ("alice", "/systems/", ""),
    "quota": ("alice", "/quota/", ""),
    "members": ("alice", "/membership/", ""),
    "profile": ("alice", "/preferences/", ""),
    "password": ("alice", "/preferences/password/", ""),
    "sessions": ("alice", "/preferences/sessions/", ""),
    "tokens": ("alice", "/preferences/tokens/", ""),
    "admin": ("admin", "/admin/", ""),
    "not-found": ("alice", "/vms/00000000-0000-4000-8000-000000000000/", ""),
    "components": ("alice", "/dev/components/", ""),
    "sign-in": ("", "/login/", ""),
}


def open_page(page: Page, name: str) -> bool:
    """Open a page in the browser of its user; return False when there is nothing to follow to it."""
    _user, address, follow = PAGES[name]
    page.goto(address)
    for one in follow.split(" > ") if follow else []:
        selector, _bar, query = one.partition("|")
        link = page.locator(selector).first
        if not link.count():
            return False
        page.goto(f"{link.get_attribute('href')}{query}")
    page.wait_for_load_state("load")
    return True
