"""Hand-written SQL, each statement with the reason why the ORM cannot replace it."""

# Open a log for each type that has none running, in one statement: `bulk_create` with ignored conflicts names no
# partial unique index, and does not return which rows it has inserted.
OPEN_SYNC_LOGS = """
    INSERT INTO cloudaccounts_synclog (account_id, type, state, asked_by_id, created, updated, unchanged,
        expired, message, started_at, owner, losses_accepted)
    SELECT %(account)s, type, 'running', %(user)s::uuid, 0, 0, 0, 0, '', statement_timestamp(), '', %(accepted)s
    FROM unnest(%(types)s::text[]) WITH ORDINALITY AS t(type, n) ORDER BY n
    ON CONFLICT (account_id, type) WHERE state = 'running' DO NOTHING
    RETURNING id
"""

# Count the resources of each type of an account and find its last log and last success: the two LATERAL joins read
# one index entry each, while subqueries of the ORM would name each column of a log in a subquery of its own.
SUMMARIZE_TYPES = """
    WITH present AS (
        SELECT type, count(*) FILTER (WHERE expired_at IS NULL) AS resources
        FROM cloudaccounts_cloudresource WHERE account_id = %(account)s GROUP BY type
    ), shown AS (
        SELECT kind.code, kind."order" FROM cloudaccounts_resourcetype AS kind
        WHERE kind.provider = %(provider)s AND (
            EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                    WHERE chosen.cloudaccount_id = %(account)s AND chosen.resourcetype_id = kind.id)
            OR NOT EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                           WHERE chosen.cloudaccount_id = %(account)s)
            OR kind.code IN (SELECT type FROM present WHERE resources > 0))
    )
    SELECT shown.code, COALESCE(present.resources, 0), last.id, last.state, last.message, last.held_back,
           last.ended_at, good.ended_at
    FROM shown LEFT JOIN present ON present.type = shown.code
    LEFT JOIN LATERAL (
        SELECT id, state, message, held_back, ended_at FROM cloudaccounts_synclog
        WHERE account_id = %(account)s AND type = shown.code ORDER BY id DESC LIMIT 1
    ) AS last ON true
    LEFT JOIN LATERAL (
        SELECT ended_at FROM cloudaccounts_synclog
        WHERE account_id = %(account)s AND type = shown.code AND state = 'success' ORDER BY id DESC LIMIT 1
    ) AS good ON true
    ORDER BY shown."order", shown.code
"""

# Find for each account the type whose last success is the oldest: joins the types that are registered in the code
# (unnest), which are no table, and needs a LATERAL join for the last success.
MEASURE_STALENESS = """
    SELECT DISTINCT ON (account.id) account.id, account.name, kind.code, last.ended_at,
        EXTRACT(EPOCH FROM statement_timestamp() - COALESCE(last.ended_at, account.created_at))::float AS age,
        EXTRACT(EPOCH FROM statement_timestamp() - GREATEST(last.ended_at, account.created_at))
            NOT BETWEEN -%(tolerance)s AND %(intervals)s * 60 * account.sync_interval_minutes
    FROM cloudaccounts_cloudaccount AS account
    JOIN cloudaccounts_resourcetype AS kind ON kind.provider = account.provider AND (
        EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                WHERE chosen.cloudaccount_id = account.id AND chosen.resourcetype_id = kind.id)
        OR NOT EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                       WHERE chosen.cloudaccount_id = account.id))
    JOIN unnest(%(providers)s::text[], %(types)s::text[]) AS known(provider, type)
        ON known.provider = kind.provider AND known.type = kind.code
    LEFT JOIN LATERAL (
        SELECT ended_at FROM cloudaccounts_synclog AS log
        WHERE log.account_id = account.id AND log.type = kind.code AND log.state = 'success'
        ORDER BY log.id DESC LIMIT 1
    ) AS last ON true
    WHERE account.active AND account.sync_interval_minutes > 0
      AND (%(accounts)s::bigint[] IS NULL OR account.id = ANY(%(accounts)s))
    ORDER BY account.id, age DESC, kind.code
"""

# Mark logs that no worker has claimed as dispatched, and return them: the ORM has no UPDATE … RETURNING, and with two
# statements two sweeps would dispatch the same logs.
SELECT_UNCLAIMED_LOGS = """
    UPDATE cloudaccounts_synclog SET rung_at = statement_timestamp() WHERE id IN (
        SELECT id FROM cloudaccounts_synclog
        WHERE state = 'running' AND owner = ''
          AND rung_at NOT BETWEEN statement_timestamp() - make_interval(secs => %s) AND statement_timestamp()
        ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING id
"""

# Join a link with its target, which it names by account, region, type and id in the cloud: the ORM joins by foreign
# keys alone.
LINKED_PAIRS = """
    SELECT l.source_id AS source, r.id AS target, l.kind
    FROM cloudaccounts_resourcelink AS l JOIN cloudaccounts_cloudresource AS r
      ON (r.account_id, r.region, r.type, r.cloud_id) = (l.account_id, l.region, l.target_type, l.target_cloud_id)
"""

# Find the resources that are linked with given ones, in both directions. Each half has its own LIMIT, so that a network
# with thousands of ports costs no more.
SELECT_NEIGHBORS = f"""
    (SELECT target FROM ({LINKED_PAIRS} WHERE l.source_id = ANY(%(ids)s)) AS outward LIMIT %(most)s)
    UNION
    (SELECT l.source_id
     FROM cloudaccounts_cloudresource AS r JOIN cloudaccounts_resourcelink AS l
       ON (l.account_id, l.region, l.target_type, l.target_cloud_id) = (r.account_id, r.region, r.type, r.cloud_id)
     WHERE r.id = ANY(%(ids)s) LIMIT %(most)s)
"""  # noqa: S608 - a constant of this module.

# Find what depends on a resource, directly and through others, or what it depends on itself (`sign` -1): the ORM knows no
# recursion, and no join by ids in the cloud. A link may lead either way (a server names its volumes, a volume its server), so
# the ranks of the two types decide who depends on whom. Each step goes to a higher rank, so no circle of links goes on. The
# type of a link's source is the first part of its kind: links to lower ranks, which are most, are left out before their
# resources are read. Things depend on an availability zone by an attribute, not by a link.
WALK_DEPENDENCIES = """
    WITH RECURSIVE walk AS (
        SELECT r.id, r.account_id, r.region, r.type, r.cloud_id, r.name,
               (%(ranks)s::jsonb ->> r.type)::int * %(sign)s AS rank
        FROM cloudaccounts_cloudresource AS r WHERE r.id = %(root)s
        UNION
        SELECT near.id, near.account_id, near.region, near.type, near.cloud_id, near.name,
               (%(ranks)s::jsonb ->> near.type)::int * %(sign)s
        FROM walk CROSS JOIN LATERAL (
            SELECT r.id, r.account_id, r.region, r.type, r.cloud_id, r.name
            FROM cloudaccounts_resourcelink AS l JOIN cloudaccounts_cloudresource AS r ON r.id = l.source_id
            WHERE (l.account_id, l.region, l.target_type, l.target_cloud_id)
                = (walk.account_id, walk.region, walk.type, walk.cloud_id)
              AND (%(ranks)s::jsonb ->> left(l.kind, -1 - length(l.target_type)))::int * %(sign)s > walk.rank
              AND r.expired_at IS NULL
            UNION ALL
            SELECT r.id, r.account_id, r.region, r.type, r.cloud_id, r.name
            FROM cloudaccounts_resourcelink AS l JOIN cloudaccounts_cloudresource AS r
              ON (r.account_id, r.region, r.type, r.cloud_id) = (l.account_id, l.region, l.target_type, l.target_cloud_id)
            WHERE l.source_id = walk.id AND (%(ranks)s::jsonb ->> l.target_type)::int * %(sign)s > walk.rank
              AND r.expired_at IS NULL
            UNION ALL
            SELECT r.id, r.account_id, r.region, r.type, r.cloud_id, r.name
            FROM cloudaccounts_cloudresource AS r
            WHERE walk.type = 'zone' AND %(sign)s > 0 AND r.account_id = walk.account_id AND r.region = walk.region
              AND r.attributes ->> 'zone' = walk.cloud_id AND (%(ranks)s::jsonb ->> r.type)::int > walk.rank
              AND r.expired_at IS NULL
        ) AS near
    )
    SELECT id, type, cloud_id, name FROM walk WHERE id <> %(root)s LIMIT %(most)s
"""

# Count a complete listing for the resources that it did not show. The ORM could do this; the statement is here because
# its conditions must equal those of the two below.
COUNT_MISSED_LISTING = """
    UPDATE cloudaccounts_cloudresource SET missing_count = LEAST(missing_count + 1, 1000)
    WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
      AND expired_at IS NULL AND last_seen_at < %(began)s
"""

# Count the resources that are present, missing, and missing often enough to expire.
COUNT_LOST = """
    SELECT count(*), count(*) FILTER (WHERE missing_count > 0), count(*) FILTER (WHERE missing_count >= %(after)s)
    FROM cloudaccounts_cloudresource
    WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s AND expired_at IS NULL
"""

# Expire resources and record that as a change, in one statement: the ORM has neither UPDATE … RETURNING nor INSERT …
# SELECT.
EXPIRE_MISSING = """
    WITH gone AS (
        UPDATE cloudaccounts_cloudresource
        SET expired_at = statement_timestamp(), changed_at = statement_timestamp()
        WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
          AND expired_at IS NULL AND missing_count >= %(after)s AND last_seen_at < %(began)s
        RETURNING id
    )
    INSERT INTO cloudaccounts_resourcechange (resource_id, log_id, at, fields)
    SELECT id, %(log)s, statement_timestamp(), '{"expired": [false, true]}' FROM gone
"""

# Mark the unchanged resources of a page as seen. The digests are passed as one JSON text, not as arrays: PostgreSQL parses
# each element of an array as an expression, which takes longer than the update.
TOUCH_UNCHANGED = """
    WITH new AS MATERIALIZED (SELECT key AS cloud_id, value AS digest FROM json_each_text(%(digests)s))
    UPDATE cloudaccounts_cloudresource AS r SET last_seen_at = %(seen_at)s, missing_count = 0
    FROM new
    WHERE r.account_id = %(account)s AND r.region = %(region)s AND r.type = %(type)s
      AND r.cloud_id = ANY(ARRAY(SELECT cloud_id FROM new))
      AND r.cloud_id = new.cloud_id AND r.digest = new.digest
      AND r.expired_at IS NULL AND r.last_seen_at < %(seen_at)s
    RETURNING r.cloud_id
"""

# Insert or update the changed resources of a page and record what changed about each, in one statement: the
# differences are computed in the database, so that no old row travels to the portal.
WRITE_CHANGED = """
    WITH new AS MATERIALIZED (
        SELECT * FROM json_to_recordset(%(rows)s) AS t(cloud_id text, name text, status text, addresses text,
                                                       attributes jsonb, digest text, links jsonb, state text,
                                                       tags jsonb, size_gb bigint, created_in_cloud_at timestamptz,
                                                       paid_until timestamptz)
    ), old AS (
        SELECT r.id, new.*, diff.fields
        FROM cloudaccounts_cloudresource AS r JOIN new USING (cloud_id)
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(field, jsonb_build_array(was, is_now)) AS fields FROM (
                SELECT 'attributes.' || COALESCE(o.key, n.key) AS field, o.value AS was, n.value AS is_now
                FROM jsonb_each(r.attributes) AS o FULL JOIN jsonb_each(new.attributes) AS n USING (key)
                UNION ALL VALUES
                    ('name', to_jsonb(r.name), to_jsonb(new.name)),
                    ('status', to_jsonb(r.status), to_jsonb(new.status)),
                    ('addresses', to_jsonb(r.addresses), to_jsonb(new.addresses)),
                    ('expired', to_jsonb(r.expired_at IS NOT NULL), to_jsonb(false)),
                    ('links', (
                        SELECT COALESCE(jsonb_agg(l.kind || ' ' || l.target_cloud_id ORDER BY
                            l.kind COLLATE "C", l.target_cloud_id COLLATE "C"), '[]'::jsonb)
                        FROM cloudaccounts_resourcelink AS l WHERE l.source_id = r.id
                    ), new.links)
            ) AS each
            WHERE COALESCE(was, 'null'::jsonb) <> COALESCE(is_now, 'null'::jsonb)
        ) AS diff
        WHERE r.account_id = %(account)s AND r.region = %(region)s AND r.type = %(type)s
          AND r.cloud_id = ANY(ARRAY(SELECT cloud_id FROM new)) AND r.last_seen_at < %(seen_at)s
    ), written AS (
        UPDATE cloudaccounts_cloudresource AS r SET
            name = old.name, status = old.status, addresses = old.addresses, attributes = old.attributes,
            state = old.state, tags = old.tags, size_gb = old.size_gb, paid_until = old.paid_until,
            created_in_cloud_at = old.created_in_cloud_at,
            digest = old.digest, last_seen_at = %(seen_at)s, missing_count = 0, expired_at = NULL,
            changed_at = CASE WHEN old.fields IS NULL THEN r.changed_at ELSE statement_timestamp() END
        FROM old WHERE r.id = old.id
    ), recorded AS (
        INSERT INTO cloudaccounts_resourcechange (resource_id, log_id, at, fields, outside)
        -- Without a sync, a job of the portal has read the object after it had changed it.
        SELECT id, %(log)s, statement_timestamp(), fields, CASE WHEN %(log)s::bigint IS NULL THEN false END
        FROM old WHERE fields IS NOT NULL
    ), inserted AS (
        INSERT INTO cloudaccounts_cloudresource (id, account_id, region, type, cloud_id, name, status,
            addresses, attributes, digest, state, tags, size_gb, created_in_cloud_at, paid_until,
            first_seen_at, last_seen_at, changed_at)
        SELECT gen_random_uuid(), %(account)s, %(region)s, %(type)s, cloud_id, name, status,
               addresses, attributes, digest, state, tags, size_gb, created_in_cloud_at, paid_until, %(seen_at)s, %(seen_at)s, statement_timestamp()
        FROM new
        ON CONFLICT ON CONSTRAINT resource_once DO NOTHING RETURNING cloud_id
    )
    SELECT (SELECT count(*) FROM inserted), count(fields), count(*) - count(fields),
           COALESCE(array_agg(cloud_id), '{}') || (SELECT COALESCE(array_agg(cloud_id), '{}') FROM inserted)
    FROM old
"""

# Replace the links of resources: delete the old ones and insert the new ones, in one statement for a page.
WRITE_LINKS = """
    WITH found AS MATERIALIZED (
        SELECT key AS cloud_id, value AS edges FROM json_each(%(edges)s)
    ), source AS (
        SELECT id, cloud_id FROM cloudaccounts_cloudresource
        WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
          AND cloud_id = ANY(ARRAY(SELECT cloud_id FROM found))
    ), new_links AS (
        SELECT source.id, edge->>0 AS kind, edge->>1 AS type, edge->>2 AS target
        FROM found JOIN source USING (cloud_id), json_array_elements(found.edges) AS edge
    ), deleted AS (
        DELETE FROM cloudaccounts_resourcelink AS l USING source
        WHERE l.source_id = source.id AND NOT EXISTS (
            SELECT 1 FROM new_links AS w
            WHERE w.id = l.source_id AND w.kind = l.kind AND w.target = l.target_cloud_id)
    )
    INSERT INTO cloudaccounts_resourcelink
        (source_id, kind, account_id, region, target_type, target_cloud_id)
    SELECT id, kind, %(account)s, %(region)s, type, target FROM new_links
    ON CONFLICT ON CONSTRAINT resource_link_once DO NOTHING
"""

# Find the links between given resources: LINKED_PAIRS is no model.
SELECT_EDGES = f"""
    SELECT source, target, kind FROM ({LINKED_PAIRS} WHERE l.source_id = ANY(%(ids)s)) AS pair
    WHERE target = ANY(%(ids)s) ORDER BY kind, source, target
"""  # noqa: S608 - a constant of this module.

# Set the clock offset of one region: a read and a write of the whole JSON value would lose the offset of another region.
RECORD_CLOCK_OFFSET = """
    UPDATE cloudaccounts_cloudaccount
    SET clock_offsets = clock_offsets || jsonb_build_object(%s::text, %s::numeric) WHERE id = %s
"""

# Delete beat's schedules: `PeriodicTask.delete()` notifies beat about each row, with several statements.
DELETE_SCHEDULES = "DELETE FROM django_celery_beat_periodictask WHERE task = %s AND name = ANY(%s)"

# The last job to end that names each id, in its parameters and results, as its entity, or in a watch. Jobs live a day at most.
FIND_JOBS_AT_WORK = """
    WITH at_work AS MATERIALIZED (
        SELECT id, ended_at, entity_id || ' ' || params::text || ' ' || data::text AS content
        FROM tasks_job
        WHERE created_at >= %(since)s - interval '1 day' AND (ended_at IS NULL OR ended_at >= %(since)s)
    ), named AS (
        SELECT at_work.id, ended_at, found[1] AS name
        FROM at_work, regexp_matches(content, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'g') AS found
        UNION ALL
        SELECT at_work.id, at_work.ended_at, watch.object_id
        FROM at_work JOIN tasks_asynctask AS watch ON watch.job_id = at_work.id
    )
    SELECT DISTINCT ON (name) name, id, ended_at FROM named WHERE name = ANY(%(names)s)
    ORDER BY name, ended_at DESC NULLS FIRST
"""
