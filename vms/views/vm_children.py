"""Views below `vms/{id}/`."""

from __future__ import annotations

from django.shortcuts import get_object_or_404

from tasks.command_views import CommandView
from tenants.scoping import Role

from ..models import VirtualMachine


class VmChildView(CommandView):
    """A view of what belongs to the VM of the path."""

    may_be_held_back = True
    role_model = VirtualMachine

    def get_vm(self) -> VirtualMachine:
        """Return the VM of the path. Raises 404."""
        vm: VirtualMachine = get_object_or_404(
            VirtualMachine.objects.within(self.scope), pk=self.kwargs["pk"]
        )
        return vm

    def require_access(self, role: Role) -> None:
        """Raise 404 when the scope does not show the VM, 403 when the caller's role is too low."""
        self.get_vm()
        self.scope.require(role, VirtualMachine)
