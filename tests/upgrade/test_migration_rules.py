"""What `make lint` refuses in a migration, and what it does not."""

from __future__ import annotations

import pytest

from .migration_rules import RULES


@pytest.mark.parametrize(
    ("statement", "refused_by"),
    [
        ('CREATE INDEX "a" ON "tasks_job" ("kind")', "index"),
        ('CREATE UNIQUE INDEX "a" ON "tasks_job" ("kind")', "index"),
        ('CREATE INDEX CONCURRENTLY "a" ON "tasks_job" ("kind")', None),
        ("DROP INDEX IF EXISTS a", "dropped index"),
        ("DROP INDEX CONCURRENTLY IF EXISTS a", None),
        ('ALTER TABLE "tasks_job" ADD COLUMN "a" integer NOT NULL', "not null"),
        ('ALTER TABLE "tasks_job" ADD COLUMN "a" integer DEFAULT 0 NOT NULL', None),
        ('ALTER TABLE "tasks_job" ADD COLUMN "a" integer NULL', None),
        ('ALTER TABLE "tasks_job" ALTER COLUMN "a" SET NOT NULL', "not null"),
        ('ALTER TABLE "tasks_job" ALTER COLUMN "a" DROP DEFAULT', "dropped default"),
        ('ALTER TABLE "tasks_job" ADD CONSTRAINT "a" CHECK ("b" > 0)', "checked rows"),
        ('ALTER TABLE "tasks_job" ADD CONSTRAINT "a" CHECK ("b" > 0) NOT VALID', None),
        (
            'ALTER TABLE "tasks_job" ADD CONSTRAINT "a" FOREIGN KEY ("b") REFERENCES "c" ("id")',
            "checked rows",
        ),
        ('ALTER TABLE "tasks_job" VALIDATE CONSTRAINT "a"', None),
        ('ALTER TABLE "tasks_job" ALTER COLUMN "a" TYPE varchar(20)', "type"),
        ('ALTER TABLE "tasks_job" DROP COLUMN "a" CASCADE', "dropped column"),
        ('ALTER TABLE "tasks_job" RENAME COLUMN "a" TO "b"', "dropped column"),
    ],
)
def test_a_statement_is_refused_by_one_rule(statement, refused_by):
    refused = [name for name, (pattern, _advice) in RULES.items() if pattern.search(statement)]
    assert refused == ([refused_by] if refused_by else [])
