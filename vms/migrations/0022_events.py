"""The triggers that write an event for each change (`events/tracking.py`)."""

from django.db import migrations

from events.tracking import TrackTable

# Changes of a VM that are no task, such as its tags. Tasks have their own events.
RECORD_OPERATION = """
CREATE OR REPLACE FUNCTION events_record_operation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := nullif(current_setting('portal.actor', true), '')::jsonb;
BEGIN
    INSERT INTO events_event (
        tenant_id, code, actor_type, actor_id, actor_name, token_name, address, request_id,
        object_type, object_id, object_name, parameters
    ) VALUES (
        NEW.tenant_id, 'vm.' || NEW.operation,
        coalesce(actor ->> 'actor_type', 'system'), (actor ->> 'actor_id')::uuid,
        coalesce(actor ->> 'actor_name', NEW.operator), coalesce(actor ->> 'token_name', ''),
        coalesce(actor ->> 'address', ''), coalesce(actor ->> 'request_id', ''),
        'vm', NEW.vm_id::text, NEW.vm_name, jsonb_build_object('detail', left(NEW.detail, 2000), 'success', NEW.success)
    );
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS events_record_operation ON vms_vmoperationlog;
CREATE TRIGGER events_record_operation AFTER INSERT ON vms_vmoperationlog FOR EACH ROW
    WHEN (NEW.job_id IS NULL) EXECUTE FUNCTION events_record_operation();
"""
DROP_OPERATION = """
DROP TRIGGER events_record_operation ON vms_vmoperationlog;
DROP FUNCTION events_record_operation();
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0002_record_changes"), ("vms", "0021_index_of_tagged_rows")]

    operations = [
        TrackTable(
            "vms_virtualmachine",
            "vm",
            tenant="information_system_id",
            only=("description", "data_center_type", "os_type", "os_version", "tags"),
        ),
        TrackTable("vms_sshkey", "ssh_key", ignored=("last_used_at",)),
        TrackTable("vms_userdatatemplate", "user_data_template", hidden=("encrypted_text",)),
        migrations.RunSQL(RECORD_OPERATION, DROP_OPERATION),
    ]
