"""Attachments that Cinder keeps for servers that do not have the volume: a request died between Nova and Cinder."""

from __future__ import annotations

from openstack_client import Cloud, CloudConflictError, CloudNotFoundError


def release_attachments(cloud: Cloud, cinder_id: str, *, also_of: str = "") -> bool:
    """Delete a volume's attachments to servers that do not list it in Nova; return whether there were any.

    Safe beside an attachment under way: Nova lists a volume on its server before Cinder reserves it. With `also_of`, an
    attachment that is only reserved for that server is deleted although the server lists the volume: for a request that
    is known to be lost. An attachment that Cinder refuses to delete, because Nova uses it, stays.
    """
    found = False
    for kept in cloud.block_storage.list_reservations(cinder_id):
        is_lost = kept.server_id == also_of and kept.status == "reserved"
        if kept.server_id and not is_lost and has_volume(cloud, kept.server_id, cinder_id):
            continue
        try:
            cloud.block_storage.delete_reservation(kept.id)
        except (CloudNotFoundError, CloudConflictError):
            continue
        found = True
    return found


def has_volume(cloud: Cloud, server_id: str, cinder_id: str) -> bool:
    """Return whether Nova lists the volume on a server. A server that is gone has none."""
    try:
        attached = cloud.compute.list_volume_attachments(server_id)
    except CloudNotFoundError:
        return False
    return cinder_id in {attachment.volume_id for attachment in attached}
