"""The commands of the room, a module for each kind of change. Importing this package registers every command."""

from . import (
    addresses,
    attachments,
    changes,
    console,
    creation,
    interfaces,
    logins,
    orphans,
    passwords,
    power,
    removal,
    resize,
    server,
    snapshots,
    vm_bin,
)

__all__ = [
    "addresses",
    "attachments",
    "changes",
    "console",
    "creation",
    "interfaces",
    "logins",
    "orphans",
    "passwords",
    "power",
    "removal",
    "resize",
    "server",
    "snapshots",
    "vm_bin",
]
