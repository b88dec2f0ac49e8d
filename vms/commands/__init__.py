"""The commands of the room, a module for each kind of change. Importing this package registers every command."""

from . import (
    attachments,
    changes,
    console,
    creation,
    migration,
    orphans,
    power,
    rebuild,
    removal,
    resize,
    server,
    snapshots,
    vm_bin,
)

__all__ = [
    "attachments",
    "changes",
    "console",
    "creation",
    "migration",
    "orphans",
    "power",
    "rebuild",
    "removal",
    "resize",
    "server",
    "snapshots",
    "vm_bin",
]
