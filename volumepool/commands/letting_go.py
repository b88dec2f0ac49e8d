"""What Cinder keeps of servers that do not have a volume: left when a request dies between Nova and Cinder."""

from __future__ import annotations

from openstack_client import Cloud, Conflict, NotFound


def let_go(cloud: Cloud, cinder_id: str, *, also_of: str = "") -> bool:
    """Remove a volume's attachments to servers that Nova says do not have it; whether there were any.

    Nova notes a volume on its server before it asks Cinder to reserve it, so a reservation for a server that does not list
    it belongs to no attachment under way. With `also_of`, what is only reserved for that server goes although it lists the
    volume: for when its request is known to be lost. What Cinder refuses, because Nova uses it, stays.
    """
    found = False
    for kept in cloud.block_storage.list_reservations(cinder_id):
        is_lost = kept.server_id == also_of and kept.status == "reserved"
        if kept.server_id and not is_lost and has_volume(cloud, kept.server_id, cinder_id):
            continue
        try:
            cloud.block_storage.delete_reservation(kept.id)
        except (NotFound, Conflict):
            continue
        found = True
    return found


def has_volume(cloud: Cloud, server_id: str, cinder_id: str) -> bool:
    """Whether a server has a volume by Nova; one that is gone has none."""
    try:
        attached = cloud.compute.list_volume_attachments(server_id)
    except NotFound:
        return False
    return cinder_id in {attachment.volume_id for attachment in attached}
