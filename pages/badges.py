"""The tone of each status: which color its badge has, and whether it shows that something is going on.

Rooms pass their own status values. A value that is missing here gets the neutral tone, so that a status that only a cloud
knows is shown, too.
"""

from __future__ import annotations

TONES = {
    "good": "running succeeded success active available in-use ok enabled verified full up reached",
    "bad": "error failed errored stuck killed down error_deleting error_extending late stale unhealthy unreachable expired removed_outside",
    "warning": "paused suspended outside interrupted unverified cancelled reverted source_missing flapping warning missing verify_resize rescue",
    "busy": (
        "queued waiting build building creating reboot hard_reboot resize migrating rebuild undoing filling reverting upgrading removing attaching detaching saving "
        "deleting reserved downloading uploading extending retyping maintenance"
    ),
}
_TONE_OF = {status: tone for tone, statuses in TONES.items() for status in statuses.split()}
# Of a task, "running" means that it is not finished yet; of a VM, that all is well.
_TONE_OF_TASK = {"running": "busy"}


def find_tone(status: str, kind: str = "") -> str:
    """Return the tone of a status: `good`, `bad`, `warning`, `busy` or `neutral`. `kind` is "task" for tasks and steps."""
    status = status.lower()
    return (_TONE_OF_TASK.get(status) if kind == "task" else None) or _TONE_OF.get(status, "neutral")
