"""The search of VMs, over REST and on the page: every word must occur in a column of the VM or in its system's name.

The index `vm_search` finds the rows of words with three or more letters or digits in a row; for shorter words PostgreSQL
reads the rows in turn, and stops when it has found enough of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from django.db.models import BooleanField, ExpressionWrapper, Q

from tenants.models import InformationSystem
from tenants.scoping import Scope

from .models import VirtualMachineQuerySet

# The columns of the index; an address counts in the form in which it is shown.
SEARCH_COLUMNS = ("name", "description", "openstack_id", "ip_address")
# Up to this number, the systems that match a word are named in the statement.
MAX_NAMED_SYSTEMS = 200


def search_vms(vms: VirtualMachineQuerySet, words: Sequence[str], scope: Scope) -> VirtualMachineQuerySet:
    """Return the VMs in which every word occurs. Without words all of them; with words it costs one query of systems.

    The systems are looked up first: an index serves columns of one table alone, so one `OR` with a column of a joined table
    would read all VMs.
    """
    if not words:
        return vms
    # Whoever sees a VM sees the name of its system.
    systems = InformationSystem.objects.all()
    if scope.tenant is not None:
        systems = systems.filter(tenant=scope.tenant)
    tests = {f"has_{number}": Q(name__icontains=word) for number, word in enumerate(words)}
    found = systems.annotate(
        **{name: ExpressionWrapper(test, output_field=BooleanField()) for name, test in tests.items()}
    ).filter(_any(tests.values()))
    rows = list(found.order_by().values_list("pk", *tests)[: MAX_NAMED_SYSTEMS + 1])
    for number, word in enumerate(words):
        in_system = [row[0] for row in rows if row[number + 1]]
        in_columns = match_columns(word)
        if len(rows) > MAX_NAMED_SYSTEMS:
            in_columns |= Q(
                information_system__in=systems.filter(name__icontains=word).order_by().values("pk")
            )
        elif in_system:
            in_columns |= Q(information_system__in=in_system)
        vms = vms.filter(in_columns)
    return vms


def match_columns(word: str) -> Q:
    """Return the condition that a word occurs in a column of the VM itself."""
    return _any(Q(**{f"{column}__icontains": word}) for column in SEARCH_COLUMNS)


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions)
