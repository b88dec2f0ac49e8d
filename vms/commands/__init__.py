"""The commands of the room, a module for each kind of change. Importing this package registers every command."""

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
