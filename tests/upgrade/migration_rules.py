"""`python -m tests.upgrade.migration_rules`: refuse migrations newer than the last release that would let requests wait. `make lint` runs it.

It reads the SQL of each migration, without a database. The last release is that of `tests/upgrade/portal.sql`. What the
statements cost in a large database is measured by `tests/upgrade/test_migration_locks.py`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.apps import apps  # noqa: E402 - only after the set-up.
from django.contrib.postgres.operations import CreateExtension  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from django.db.migrations.migration import Migration  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
DUMP = Path(__file__).with_name("portal.sql")
_RELEASED = re.compile(r"^\t\(\d+, '(\w+)', '(\w+)', '[^']+'\)[,;]$", re.MULTILINE)

# By rule: the statement that it refuses, on a table that exists already, and what to do instead.
RULES = {
    "index": (
        re.compile(r'CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON "?(?P<table>\w+)'),
        "locks writers out while it is built: use AddIndexConcurrently, with DROP INDEX CONCURRENTLY IF EXISTS before it",
    ),
    "dropped index": (
        re.compile(r"DROP INDEX (?!CONCURRENTLY)(?P<table>)"),
        "locks the table: use RemoveIndexConcurrently",
    ),
    "not null": (
        re.compile(
            r'ALTER TABLE "?(?P<table>\w+)"? (?:ADD COLUMN (?:(?!DEFAULT).)* NOT NULL|ALTER COLUMN \S+ SET NOT NULL)'
        ),
        "the release before writes no value, and every row is read under a lock: give the column a db_default",
    ),
    "dropped default": (
        re.compile(r'ALTER TABLE "?(?P<table>\w+)"? ALTER COLUMN \S+ DROP DEFAULT'),
        "the release before writes no value: give the field a db_default, which stays",
    ),
    "checked rows": (
        re.compile(
            r'ALTER TABLE "?(?P<table>\w+)"? ADD CONSTRAINT (?!.*(?:NOT VALID|USING INDEX)).*(?:CHECK|FOREIGN KEY|UNIQUE)',
            re.DOTALL,
        ),
        "reads every row under a lock: use AddConstraintNotValid, and ValidateConstraint in a later migration",
    ),
    "type": (
        re.compile(r'ALTER TABLE "?(?P<table>\w+)"? ALTER COLUMN \S+ TYPE'),
        "may write every row anew under a lock: add a column instead",
    ),
    "dropped column": (
        re.compile(r'ALTER TABLE "?(?P<table>\w+)"? (?:DROP COLUMN|RENAME)|DROP TABLE "?(?P<dropped>\w+)'),
        "the release before still uses it: remove it from the state alone, and drop it in the next release",
    ),
}
# What is allowed nevertheless, by migration and rule, with the reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    (
        "deploys.0004_service_tags",
        "index",
    ): "There are hundreds of services, not millions: it is built in milliseconds.",
    ("vms.0018_orphans_of_networks", "type"): "PostgreSQL writes nothing anew for a longer varchar.",
}


def main() -> int:
    """Check every new migration; print what is refused, and return the exit code."""
    refused = list(find_refused())
    for name, rule, statement in refused:
        sys.stdout.write(f"{name}: {rule}: {RULES[rule][1]}.\n    {statement[:160]}\n")
    if unused := EXCEPTIONS.keys() - _used:
        sys.stdout.write(f"These exceptions are not needed any more: {sorted(unused)}\n")
    return 1 if refused or unused else 0


_used: set[tuple[str, str]] = set()


def find_refused() -> Iterator[tuple[str, str, str]]:
    """Yield the migration, the rule and the statement of everything that is refused."""
    # Django would ask the server.
    connections["default"].__dict__["pg_version"] = 160000
    released = set(_RELEASED.findall(DUMP.read_text()))
    if not released:
        raise SystemExit(f"{DUMP} names no migrations.")
    loader = MigrationLoader(None)
    own = {
        config.label
        for config in apps.get_app_configs()
        if REPOSITORY in Path(config.path).parents and ".venv" not in config.path
    }
    created: set[str] = set()
    for node in _list_in_order(loader):
        if node in released or node[0] not in own:
            continue
        for statement in _collect_sql(loader, node):
            created.update(re.findall(r'CREATE TABLE "?(\w+)', statement))
            for rule, (pattern, _advice) in RULES.items():
                found = pattern.search(statement)
                if found is None or found.groupdict().get("table") in created:
                    continue
                name = ".".join(node)
                if (name, rule) in EXCEPTIONS:
                    _used.add((name, rule))
                else:
                    yield name, rule, statement.strip()


def _list_in_order(loader: MigrationLoader) -> list[tuple[str, str]]:
    plan: list[tuple[str, str]] = []
    for target in loader.graph.leaf_nodes():
        plan += [node for node in loader.graph.forwards_plan(target) if node not in plan]
    return plan


def _collect_sql(loader: MigrationLoader, node: tuple[str, str]) -> list[str]:
    migration: Migration = loader.graph.nodes[node]
    # It would ask the database whether it has the extension.
    migration.operations = [one for one in migration.operations if not isinstance(one, CreateExtension)]
    state = loader.project_state(node, at_end=False)
    # Not atomic, because that would open a connection.
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        editor.connection.ops.compose_sql = _compose_sql
        migration.apply(state, editor, collect_sql=True)
    statements = "\n".join(line for line in editor.collected_sql if not line.startswith("--"))
    return [statement for statement in statements.split(";\n") if statement.strip()]


def _compose_sql(sql: str, params: Any) -> str:
    """Return a statement with some form of its parameters, which Django would let a connection write."""
    return sql % tuple(repr(param) for param in params) if params else sql


if __name__ == "__main__":
    raise SystemExit(main())
