"""The triggers that write events, for the tables of tenants, of the API and of the task manager."""

from django.db import migrations

from events.tracking import TrackTable

# Arguments of the trigger: the object's type, the column that leads to the tenant, hidden columns, ignored columns, and the
# only columns that count, if there are any.
# A value of more than 2,000 characters is cut, so that no event is much longer than a page.
RECORD_ROW = """
CREATE OR REPLACE FUNCTION events_describe_values(shown jsonb, hidden text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(
        key,
        CASE
            WHEN key = ANY (hidden) AND value NOT IN ('null', '""') THEN '"(hidden)"'::jsonb
            WHEN length(value::text) > 2000 THEN to_jsonb(left(value::text, 2000))
            ELSE value
        END
    )
    FROM jsonb_each(shown)
$$;
CREATE OR REPLACE FUNCTION events_record_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hidden text[] := string_to_array(TG_ARGV[2], ',');
    ignored text[] := string_to_array(TG_ARGV[3], ',');
    only_these text[] := string_to_array(TG_ARGV[4], ',');
    actor jsonb := nullif(current_setting('portal.actor', true), '')::jsonb;
    old_row jsonb;
    new_row jsonb;
    present jsonb;
    tenant uuid;
    named text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        old_row := to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_row := to_jsonb(NEW);
    END IF;
    present := coalesce(new_row, old_row);
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(was.key, was.value), jsonb_object_agg(was.key, now.value) INTO old_row, new_row
        FROM jsonb_each(old_row) AS was JOIN jsonb_each(new_row) AS now USING (key)
        WHERE was.value <> now.value AND was.key <> ALL (ignored)
            AND (TG_ARGV[4] = '' OR was.key = ANY (only_these));
        IF old_row IS NULL THEN
            RETURN NULL;
        END IF;
    ELSE
        old_row := old_row - ignored;
        new_row := new_row - ignored;
    END IF;
    -- Each table is only named in a branch of its own: a branch that does not run is not planned, so its table may not exist yet.
    IF TG_ARGV[1] IN ('tenant_id', 'id') THEN
        tenant := (present ->> TG_ARGV[1])::uuid;
    ELSIF TG_ARGV[1] = 'information_system_id' THEN
        SELECT tenant_id INTO tenant FROM tenants_informationsystem
        WHERE id = (present ->> 'information_system_id')::uuid;
    ELSIF TG_ARGV[1] = 'service_id' THEN
        SELECT system.tenant_id INTO tenant
        FROM deploys_microservice AS service JOIN tenants_informationsystem AS system ON system.id = service.information_system_id
        WHERE service.id = (present ->> 'service_id')::uuid;
    END IF;
    named := coalesce(present ->> 'name', present ->> 'hostname', present ->> 'label', present ->> 'username');
    IF named IS NULL AND present ->> 'user_id' IS NOT NULL THEN
        SELECT username INTO named FROM tenants_user WHERE id = (present ->> 'user_id')::uuid;
    ELSIF named IS NULL AND present ->> 'host_id' IS NOT NULL THEN
        SELECT hostname INTO named FROM deploys_host WHERE id = (present ->> 'host_id')::uuid;
    END IF;
    INSERT INTO events_event (
        tenant_id, code, actor_type, actor_id, actor_name, token_name, address, request_id,
        object_type, object_id, object_name, before, after
    ) VALUES (
        tenant,
        TG_ARGV[0] || CASE TG_OP WHEN 'INSERT' THEN '.created' WHEN 'UPDATE' THEN '.changed' ELSE '.deleted' END,
        coalesce(actor ->> 'actor_type', 'system'), (actor ->> 'actor_id')::uuid, coalesce(actor ->> 'actor_name', ''),
        coalesce(actor ->> 'token_name', ''), coalesce(actor ->> 'address', ''), coalesce(actor ->> 'request_id', ''),
        TG_ARGV[0], left(coalesce(present ->> 'id', present ->> 'tenant_id', ''), 64), left(coalesce(named, ''), 300),
        events_describe_values(old_row, hidden), events_describe_values(new_row, hidden)
    );
    RETURN NULL;
END
$$;
"""

# Children of a job belong to their root's event. Without a tenant and a user, a job is the portal's own routine.
RECORD_JOB = """
CREATE OR REPLACE FUNCTION events_record_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := nullif(current_setting('portal.actor', true), '')::jsonb;
    requester text := '';
BEGIN
    IF NEW.created_by_id IS NOT NULL THEN
        SELECT username INTO requester FROM tenants_user WHERE id = NEW.created_by_id;
    END IF;
    -- The end of a task is written by whatever process notices it, which may be another user's request.
    IF TG_OP <> 'INSERT' OR (actor ->> 'actor_id')::uuid IS DISTINCT FROM NEW.created_by_id THEN
        actor := NULL;
    END IF;
    INSERT INTO events_event (
        tenant_id, code, actor_type, actor_id, actor_name, token_name, address, request_id,
        object_type, object_id, object_name, parameters
    ) VALUES (
        NEW.tenant_id, 'task.' || CASE TG_OP WHEN 'INSERT' THEN 'requested' ELSE NEW.status END,
        coalesce(actor ->> 'actor_type', CASE WHEN NEW.created_by_id IS NULL THEN 'system' ELSE 'user' END),
        NEW.created_by_id, coalesce(requester, ''), coalesce(actor ->> 'token_name', ''), coalesce(actor ->> 'address', ''),
        NEW.request_id, NEW.entity_type, left(NEW.entity_id::text, 64), NEW.subject,
        jsonb_build_object('task', NEW.id, 'kind', NEW.kind)
            || CASE WHEN NEW.outcome_code <> '' THEN jsonb_build_object('outcome', NEW.outcome_code) ELSE '{}' END
    );
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS events_record_request ON tasks_job;
DROP TRIGGER IF EXISTS events_record_end ON tasks_job;
CREATE TRIGGER events_record_request AFTER INSERT ON tasks_job FOR EACH ROW
    WHEN (NEW.parent_id IS NULL AND (NEW.tenant_id IS NOT NULL OR NEW.created_by_id IS NOT NULL))
    EXECUTE FUNCTION events_record_job();
CREATE TRIGGER events_record_end AFTER UPDATE OF status ON tasks_job FOR EACH ROW
    WHEN (
        NEW.parent_id IS NULL AND (NEW.tenant_id IS NOT NULL OR NEW.created_by_id IS NOT NULL)
        AND NEW.status <> OLD.status
        AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'errored', 'stuck')
    )
    EXECUTE FUNCTION events_record_job();
"""
DROP_JOB = """
DROP TRIGGER events_record_end ON tasks_job;
DROP TRIGGER events_record_request ON tasks_job;
DROP FUNCTION events_record_job();
"""
DROP_ROW = "DROP FUNCTION events_record_row(); DROP FUNCTION events_describe_values(jsonb, text[]);"


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0001_events"),
        ("tasks", "0009_database_epoch"),
        ("tenants", "0008_hidden_columns"),
        ("portal_api", "0003_sessions"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RunSQL(RECORD_ROW, DROP_ROW),
        migrations.RunSQL(RECORD_JOB, DROP_JOB),
        TrackTable("tenants_tenant", "tenant", tenant="id"),
        TrackTable("tenants_membership", "member"),
        TrackTable("tenants_invitation", "invitation"),
        TrackTable("tenants_informationsystem", "information_system"),
        TrackTable(
            "tenants_user",
            "user",
            tenant="",
            hidden=("password",),
            ignored=("last_login", "credentials_epoch", "hidden_columns", "theme", "language", "time_zone"),
        ),
        TrackTable("tenants_user_groups", "group_member", tenant=""),
        TrackTable("tenants_user_user_permissions", "user_permission", tenant=""),
        TrackTable("auth_group", "group", tenant=""),
        TrackTable("auth_group_permissions", "group_permission", tenant=""),
        TrackTable(
            "portal_api_apitoken",
            "api_token",
            tenant="",
            hidden=("digest", "token_key"),
            ignored=("last_used_at", "credentials_epoch"),
        ),
    ]
