"""Moving servers to other hosts: Nova, for administrators of the cloud."""

from __future__ import annotations

from typing import Any

from .nova_requests import COMPUTE_MICROVERSION, SERVICE, NovaRequests
from .paging import RecordPage, join_pages, json_pages, read_records
from .records import ServerMigration
from .records.json_values import reference
from .validation import validate_id, validate_name


class ServerMigrations(NovaRequests):
    """Nova's migrations. Each returns when Nova has accepted it; `list_migrations` tells how it ended.

    A migration for which no host is found is accepted, too: the server then has its former state again, the action in
    `list_server_actions` has the message "Error", and the migration the status "error". Where Nova names hosts, `host` must be one.

    Every call raises `CloudForbiddenError` unless the account is an administrator's, `CloudNotFoundError`, `CloudConflictError` when the
    server's state does not allow it, and `InvalidCloudRequestError` for a host that does not exist or is the server's own.
    """

    def live_migrate_server(self, server_id: str, *, host: str | None = None) -> None:
        """Move a running or paused server to another host without stopping it (MIGRATING). Nova decides whether its disk is copied."""
        argument = {"host": _validate_host(host), "block_migration": "auto"}
        self._request_action(server_id, {"os-migrateLive": argument}, f"live-migrate server {server_id}")

    def migrate_server(self, server_id: str, *, host: str | None = None) -> None:
        """Stop a server and start it on another host. It ends in VERIFY_RESIZE: `confirm_resize` or `revert_resize` end the migration."""
        argument = None if host is None else {"host": _validate_host(host)}
        self._request_action(server_id, {"migrate": argument}, f"migrate server {server_id}")

    def evacuate_server(self, server_id: str, *, host: str | None = None) -> None:
        """Rebuild a server on another host, because its own is dead (REBUILD). Without shared storage, its local disk is lost.

        Raises `InvalidCloudRequestError` while the service of its own host is up.
        """
        argument: dict[str, Any] = {} if host is None else {"host": _validate_host(host)}
        self._request_action(server_id, {"evacuate": argument}, f"evacuate server {server_id}")

    def abort_live_migration(self, server_id: str, number: int) -> None:
        """Abort a live migration: the server stays on its host, and the migration ends as "cancelled". Nova works on it afterwards.

        `number` is that of the migration. Raises `InvalidCloudRequestError` for one that is not queued, preparing or running,
        `CloudNotFoundError` for one that is not the server's, and `CloudConflictError` when the server is not migrating.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/migrations/{int(number)}"
        self._call("DELETE", path, f"abort the live migration of server {server_id}")

    def list_migrations(self, server_id: str) -> RecordPage[ServerMigration]:
        """List a server's migrations of every kind and age, newest first. An unknown server has none."""
        pages = json_pages(
            self._transport,
            SERVICE,
            "/os-migrations",
            "migrations",
            doing=f"list the migrations of server {server_id}",
            page_size=1000,
            params={"instance_uuid": validate_id(server_id, "server")},
            microversion=COMPUTE_MICROVERSION,
            get_marker=_get_marker,
        )
        return join_pages(read_records(page, ServerMigration.from_json) for page in pages)


def _get_marker(raw: Any) -> str | None:
    return reference(raw.get("uuid")) if isinstance(raw, dict) else None


def _validate_host(host: str | None) -> str | None:
    return None if host is None else validate_name(host, "host")
