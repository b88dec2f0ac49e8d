"""The room's SQL that is written by hand, each statement with the reason why the ORM does not do."""

# Take the oldest claimable spares (`SpareVolumeQuerySet.claimable`) out of a pool: each is locked, and one that is
# locked is passed over. The ORM needs three statements for it, and every claim waits for them.
CLAIM_SPARES = """
    WITH picked AS MATERIALIZED (
        SELECT spare.id FROM volumepool_sparevolume AS spare
        JOIN volumepool_volumepool AS pool ON pool.id = spare.pool_id
        WHERE pool.id = %(pool)s AND spare.status = 'available' AND spare.region = pool.region
            AND spare.size_gb = pool.size_gb AND spare.volume_type = pool.volume_type
            AND spare.availability_zone = pool.availability_zone AND spare.image_id = pool.image_id
            AND (%(named)s::text[] IS NULL OR spare.volume_id = ANY(%(named)s))
        ORDER BY spare.available_at, spare.id LIMIT %(count)s FOR UPDATE OF spare SKIP LOCKED
    )
    DELETE FROM volumepool_sparevolume AS spare USING picked WHERE spare.id = picked.id
    RETURNING spare.volume_id, spare.name
"""

# Find the most volumes of each pool that were claimed within the time of a refill: the length of that window is a
# column of the pool, which the ORM's window frames do not take.
MEASURE_PEAKS = """
    SELECT id, max(wanted) FROM (
        SELECT pool.id, (
            SELECT sum(near.taken + near.made) FROM volumepool_poolclaim AS near
            WHERE near.pool_id = pool.id AND near.at <= claim.at AND near.at > claim.at
                - make_interval(secs => GREATEST(COALESCE(pool.creation_seconds, 0), %(shortest)s))
        ) AS wanted
        FROM volumepool_volumepool AS pool JOIN volumepool_poolclaim AS claim ON claim.pool_id = pool.id
        WHERE pool.id = ANY(%(ids)s) AND claim.at > now() - make_interval(secs => %(back)s)
    ) AS each GROUP BY id
"""

# Summarize the stock of a pool by point. A row holds until the next one; it is cut where points begin, so that each
# point weighs what was true in it: the ORM has no `generate_series` to cut it by.
STOCK_BY_POINT = """
    WITH seen AS (
        SELECT id, at, desired, available, creating,
            LEAST(lead(at) OVER (ORDER BY at, id), at + %(known)s, %(now)s) AS until
        FROM volumepool_poolstock
        WHERE pool_id = %(pool)s AND at > %(since)s - %(known)s AND at < %(now)s
    ), piece AS (
        SELECT seen.*, number, extract(epoch FROM LEAST(until, %(since)s + (number + 1) * %(length)s)
            - GREATEST(at, %(since)s + number * %(length)s)) AS lasted
        FROM seen, generate_series(
            GREATEST(0, floor(extract(epoch FROM at - %(since)s) / %(seconds)s)::int),
            floor(extract(epoch FROM until - %(since)s) / %(seconds)s)::int
        ) AS number
    )
    SELECT number, min(available), sum(available * lasted) / sum(lasted), max(creating),
        (array_agg(desired ORDER BY at DESC, id DESC))[1]
    FROM piece WHERE lasted > 0 GROUP BY number
"""

# Sum the claims of a pool by point, with the same arithmetic as for the stock.
CLAIMS_BY_POINT = """
    SELECT floor(extract(epoch FROM at - %(since)s) / %(seconds)s)::int AS number, sum(taken), sum(made)
    FROM volumepool_poolclaim WHERE pool_id = %(pool)s AND at >= %(since)s AND at <= %(now)s GROUP BY number
"""

# Write the volumes that differ from a listing, unless a job holds the volume or its VM, or the row is newer than
# the listing: the conditions are decided row by row under the row's lock, which `bulk_update` does not do.
WRITE_VOLUMES = """
    WITH new AS (
        SELECT * FROM unnest(%(pk)s::uuid[], %(status)s::text[], %(size)s::int[], %(name)s::text[], %(server)s::text[],
                             %(device)s::text[], %(vm)s::uuid[]) AS t(id, status, size_gb, name, server_id, device, vm_id)
    ), old AS (
        SELECT volume.id FROM volumepool_volume AS volume JOIN new USING (id)
        WHERE volume.written_at < %(began)s AND NOT EXISTS (
            SELECT 1 FROM tasks_entitylock
            WHERE key IN ('volume:' || volume.id, 'vm:' || volume.vm_id, 'vm:' || new.vm_id))
        FOR UPDATE OF volume
    ), written AS (
        UPDATE volumepool_volume AS volume SET
            status = new.status, size_gb = new.size_gb, name = COALESCE(new.name, volume.name),
            device = CASE WHEN new.vm_id IS NULL THEN '' WHEN new.device <> '' THEN new.device ELSE volume.device END,
            is_boot = volume.is_boot AND volume.vm_id IS NOT DISTINCT FROM new.vm_id,
            nova_server_id = CASE WHEN volume.server_id = new.server_id THEN volume.nova_server_id END,
            server_id = new.server_id, vm_id = new.vm_id, missing_count = 0,
            written_at = %(began)s, updated_at = statement_timestamp()
        FROM new JOIN old USING (id) WHERE volume.id = new.id RETURNING 1
    ) SELECT count(*) FROM written
"""
