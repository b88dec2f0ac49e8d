"""How far a job is that waits for children."""

# How far everything below a job is, as a share of the whole: each job's part is spread evenly over its steps, and the
# part of a step that waits for children evenly over those. One statement for a page of jobs, whatever is below them.
TREE_PROGRESS = """
CASE WHEN tasks_job.children_open > 0 THEN (
    WITH RECURSIVE tree (id, part, has_ended) AS (
        SELECT tasks_job.id, 100.0::float8, false
        UNION ALL
        SELECT child.id,
            tree.part / (SELECT count(*) FROM tasks_step WHERE job_id = tree.id) / step.children,
            child.ended_at IS NOT NULL
        FROM tree
        JOIN tasks_step AS step ON step.job_id = tree.id AND step.status = 'waiting' AND step.children > 0
        JOIN tasks_job AS child ON child.parent_id = tree.id AND child.parent_step = step.name
        WHERE NOT tree.has_ended
    )
    SELECT floor(sum(CASE WHEN has_ended THEN part ELSE part / 100 * (
        SELECT sum(CASE WHEN status = 'waiting' AND children > 0 THEN 0 ELSE progress END)::float8 / count(*)
        FROM tasks_step WHERE job_id = tree.id
    ) END))::int FROM tree
) END
"""
