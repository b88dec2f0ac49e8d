"""The attributes that resources of all clouds have in common, by which they are filtered together.

A syncer keeps the vendor's own words in `status` and `attributes`. What is the same thing everywhere is derived here from
the status and from attributes that have the same name for every vendor: `size_gb`, `created_at`, `paid_until`, `tags`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from openstack_client.decoding import clean_text

from ..models import ResourceState
from ..registry import ListedResource

# What of a tag is stored and searched; vendors allow 50 tags of 128 and 256 characters.
MAX_TAGS = 100
MAX_TAG_LENGTH = 256
MAX_SIZE_GB = 2**53
# Types of which "active" or "available" says that they are at work.
_WORKING_TYPES = frozenset({"server", "database", "cache", "load_balancer"})
_WORDS_BY_STATE = {
    ResourceState.RUNNING: "running poweredon in_service online",
    ResourceState.STOPPED: (
        "shutoff stopped suspended paused shelved shelved_offloaded poweredoff disabled inactive down unavailable"
        " hibernated deallocated deprecated shutdown isolated"
    ),
    ResourceState.AVAILABLE: (
        "active available enabled completed accomplished up normal created ok ready unassociated unattached"
        " unbind"
    ),
    ResourceState.IN_USE: "in_use inuse attached associated reserved bound bind bind_eni elb vpn",
    ResourceState.CHANGING: (
        "build building pending pending_create pending_update creating create starting stopping reboot rebooting"
        " hard_reboot resize resizing verify_resize revert_resize migrating rebuild rescue password modifying"
        " updating backing_up attaching detaching extending retyping maintenance provisioning queued saving"
        " importing uploading downloading restoring rebalancing optimizing upgrading associating unassociating"
        " changing waiting progressing reiniting flushing transforming transing transingtoothers backuprecovering"
        " networkmodifying sslmodifying majorversionupgrading minorversionupgrading engineversionupgrading"
        " dbinstanceclasschanging dbinstancenettypechanging guarddbinstancecreating guardswitching"
        " importingfromothers ins_cloning binding unbinding expanding rollbacking dumping copying_from_remote"
        " checking_copied syncing initializing processing isolating enter_rescue_mode rescue_mode exit_rescue_mode"
        " enter_service_live_migrate service_live_migrate restarting restoring_backup awaiting_transfer notifying"
        " switchover modifying_instance_type modifying_database_port"
    ),
    ResourceState.DELETING: (
        "deleting shutting_down terminating pending_delete releasing soft_deleted recycling torecycle offlining"
        " notify_delete"
    ),
    ResourceState.DELETED: "deleted terminated released killed",
    ResourceState.ERROR: (
        "error failed failure create_failed createfailed error_deleting error_extending error_restoring"
        " error_managing impaired incompatible_network storage_full abnormal locked expired launch_failed"
        " importfailed frozen freezed bind_error error_rollbacking"
    ),
}
# Words that mean something else of one type: an elastic IP of Huawei Cloud, as one of OpenStack, is down when nothing uses it.
_STATES_BY_TYPE = {
    ("floating_ip", "active"): ResourceState.IN_USE,
    ("floating_ip", "down"): ResourceState.AVAILABLE,
}
_STATES = {word: state for state, words in _WORDS_BY_STATE.items() for word in words.split()}


def derive_state(type_code: str, status: str) -> str:
    """Return the state that a vendor's word for a status means; "" for a word that is not known."""
    word = status.strip().lower().replace("-", "_").replace(" ", "_")
    if (special := _STATES_BY_TYPE.get((type_code, word))) is not None:
        return special
    state = _STATES.get(word, "")
    if state == ResourceState.AVAILABLE and type_code in _WORKING_TYPES:
        return ResourceState.RUNNING
    return state


def derive_common_attributes(type_code: str, found: ListedResource) -> dict[str, Any]:
    """Return the columns that all clouds have in common, as JSON values. What is not understood is left empty."""
    attributes = found.attributes
    return {
        "state": str(derive_state(type_code, found.status)),
        "tags": _read_tags(attributes.get("tags")),
        "size_gb": _read_size(attributes.get("size_gb")),
        "created_in_cloud_at": _read_time(attributes.get("created_at")),
        "paid_until": _read_time(attributes.get("paid_until")),
    }


def _read_tags(tags: Any) -> dict[str, str]:
    """Return tags as names and values; OpenStack's have no values."""
    if isinstance(tags, Mapping):
        pairs = [(str(name), "" if value is None else str(value)) for name, value in tags.items()]
    elif isinstance(tags, list | tuple):
        pairs = [(str(name), "") for name in tags]
    else:
        return {}
    return {
        clean_text(name, MAX_TAG_LENGTH): clean_text(value, MAX_TAG_LENGTH)
        for name, value in pairs[:MAX_TAGS]
    }


def _read_size(size: Any) -> int | None:
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size <= MAX_SIZE_GB:
        return None
    return round(size)


def _read_time(text: Any) -> str | None:
    """Return a time with its zone; a time without one is in UTC, as the vendors document it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
