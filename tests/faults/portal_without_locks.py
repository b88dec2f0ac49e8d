"""The portal as it would be without locks, to be served by gunicorn: no entity lock, no lock on the VM's row.

It shows that the test which needs the locks can fail.
"""

from portal.wsgi import application
from vms.commands.server import ServerCommand
from vms.models import VirtualMachineQuerySet

ServerCommand.locks = lambda self: []
VirtualMachineQuerySet.select_for_update = lambda self, **options: self

__all__ = ["application"]
