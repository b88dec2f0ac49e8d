"""The labels of events for people: "Host changed", in the reader's language."""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks.command import command_title

from .models import Event

OBJECT_LABELS: dict[str, str | Promise] = {
    "tenant": gettext_lazy("Tenant"),
    "member": gettext_lazy("Member"),
    "invitation": gettext_lazy("Invitation"),
    "service_account": gettext_lazy("Service account"),
    "role_rule": gettext_lazy("Role rule"),
    "external_identity": gettext_lazy("External identity"),
    "information_system": gettext_lazy("Application"),
    "user": gettext_lazy("User"),
    "group": gettext_lazy("Permission group"),
    "group_member": gettext_lazy("Member of a permission group"),
    "group_permission": gettext_lazy("Permission of a group"),
    "user_permission": gettext_lazy("Permission of a user"),
    "api_token": gettext_lazy("API token"),
    "cloud_account": gettext_lazy("Cloud account"),
    "catalogue_grant": gettext_lazy("Catalog grant"),
    "volume_pool": gettext_lazy("Volume pool"),
    "ssh_key": gettext_lazy("SSH key"),
    "user_data_template": gettext_lazy("User data template"),
    "service": gettext_lazy("Service"),
    "version": gettext_lazy("Version"),
    "host": gettext_lazy("Host"),
    "deploy_key": gettext_lazy("Deploy key"),
    "instance": gettext_lazy("Instance"),
    "vm": gettext_lazy("VM"),
    "cloud_resource": gettext_lazy("Cloud resource"),
    "volume": gettext_lazy("Volume"),
    "webhook": gettext_lazy("Webhook"),
    "subscription": gettext_lazy("Subscription"),
    "approval": gettext_lazy("Request"),
    "approval_policy": gettext_lazy("Approval policy"),
    "approver": gettext_lazy("Approver"),
    "approval_delegation": gettext_lazy("Delegation"),
}
CHANGE_LABELS: dict[str, str | Promise] = {
    "created": gettext_lazy("%(object)s created"),
    "changed": gettext_lazy("%(object)s changed"),
    "deleted": gettext_lazy("%(object)s deleted"),
}
TASK_LABELS: dict[str, str | Promise] = {
    "requested": gettext_lazy("%(task)s: requested"),
    "succeeded": gettext_lazy("%(task)s: succeeded"),
    "failed": gettext_lazy("%(task)s: failed"),
    "cancelled": gettext_lazy("%(task)s: canceled"),
    "errored": gettext_lazy("%(task)s: internal error"),
    "stuck": gettext_lazy("%(task)s: needs attention"),
}
OTHER_LABELS: dict[str, str | Promise] = {
    "sign_in.succeeded": gettext_lazy("Signed in"),
    "sign_in.ended": gettext_lazy("Signed out"),
    "sign_in.failed": gettext_lazy("Sign-in failed"),
    "user.passkey_added": gettext_lazy("Passkey added"),
    "user.passkey_removed": gettext_lazy("Passkey removed"),
    "user.recovery_codes_renewed": gettext_lazy("Recovery codes renewed"),
    "service_account.token_created": gettext_lazy("Token of a service account created"),
    "service_account.token_revoked": gettext_lazy("Token of a service account revoked"),
    "user.provided": gettext_lazy("User created by a provider"),
    "tenant.without_administrator": gettext_lazy("Tenant without an administrator"),
    "request.refused": gettext_lazy("Request refused"),
    "audit.exported": gettext_lazy("Audit log exported"),
    "webhook.secret_changed": gettext_lazy("Secret of a webhook changed"),
    "webhook.switched_off": gettext_lazy("Webhook switched off: its receiver fails"),
    "subscription.switched_off": gettext_lazy("Subscription switched off: its messages fail"),
    "approval.requested": gettext_lazy("Approval requested"),
    "approval.waiting": gettext_lazy("Request waits for approval"),
    "approval.approved": gettext_lazy("Request approved"),
    "approval.rejected": gettext_lazy("Request rejected"),
    "approval.withdrawn": gettext_lazy("Request withdrawn"),
    "approval.expired": gettext_lazy("Request expired"),
    "approval.commented": gettext_lazy("Request commented on"),
    "approval.plan_changed": gettext_lazy("Plan of a request changed"),
    "approval.broke_glass": gettext_lazy("Request carried out without approval"),
    "cloud_resource.server_deleted": gettext_lazy("Server deleted outside the portal"),
    "cloud_resource.server_resized": gettext_lazy("Server resized outside the portal"),
    "cloud_resource.volume_deleted": gettext_lazy("Volume deleted outside the portal"),
    "cloud_resource.group_opened": gettext_lazy("Security group opened to every address outside the portal"),
}
# Labels with parameters of the event.
REMINDER_LABELS: dict[str, str | Promise] = {
    "quota.nearly_used": gettext_lazy("Quota nearly used: %(used)s of %(quota)s %(resource)s"),
    "vm.ends_soon": gettext_lazy("VM ends on %(end)s"),
    "cloud_resource.ends_soon": gettext_lazy("Prepaid resource ends on %(end)s"),
}
RESOURCE_LABELS: dict[str, str | Promise] = {
    "vms": gettext_lazy("VMs"),
    "cpu_cores": gettext_lazy("CPU cores"),
    "memory_gb": gettext_lazy("GB of memory"),
    "disk_gb": gettext_lazy("GB of disk"),
}
# The ends of codes by which an event counts as failed or refused.
FAILED = ("failed", "errored", "cancelled", "stuck")
REFUSED = "refused"


def label_event(event: Event) -> str:
    """Return the label of an event. A code of an older release that is not known any more is shown as it is."""
    subject, _dot, change = event.code.rpartition(".")
    if label := OTHER_LABELS.get(event.code):
        return str(label)
    if label := REMINDER_LABELS.get(event.code):
        resource = str(event.parameters.get("resource", ""))
        named = {"resource": RESOURCE_LABELS.get(resource, resource)}
        return str(label) % {"used": "", "quota": "", "end": "", **event.parameters, **named}
    if subject == "task" and change in TASK_LABELS:
        task = command_title(str(event.parameters.get("kind", "")))
        return str(TASK_LABELS[change]) % {"task": capfirst(str(task))}
    if subject in OBJECT_LABELS and change in CHANGE_LABELS:
        return str(CHANGE_LABELS[change]) % {"object": OBJECT_LABELS[subject]}
    if subject == "vm":
        return _("VM: %(operation)s") % {"operation": change.replace("_", " ")}
    return event.code


def find_outcome(event: Event) -> str:
    """Return how an event ended: "done", "failed" or "refused"."""
    end = event.code.rpartition(".")[2]
    return "refused" if end == REFUSED else "failed" if end in FAILED else "done"


def list_differences(event: Event) -> list[tuple[str, Any, Any]]:
    """Return the columns of a change, with the value before and after; None where there is none."""
    before, after = event.before or {}, event.after or {}
    return [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
