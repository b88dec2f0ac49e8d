"""What a worker does to servers, a file for each kind of change. Importing this package registers every command."""

from . import attachments, changes, console, creation, orphans, power, removal, resize, server, snapshots

__all__ = [
    "attachments",
    "changes",
    "console",
    "creation",
    "orphans",
    "power",
    "removal",
    "resize",
    "server",
    "snapshots",
]
