"""Pages of other rooms about what a resource is: the VM that a server is, for example.

A room above registers a finder for a type of resources (`apps.py`), so that the inventory can lead to the room's page.
"""

from __future__ import annotations

from collections.abc import Callable

from tenants.scoping import Scope

from .models import CloudResource

# Returns the address of the page of a resource in the scope, or "" if the room knows no such object.
PageFinder = Callable[[Scope, CloudResource], str]
_finders: dict[str, PageFinder] = {}


def register_page_finder(type_code: str, finder: PageFinder) -> None:
    """Register the finder of the pages of one type of resources."""
    _finders[type_code] = finder


def find_own_page(scope: Scope, resource: CloudResource) -> str:
    """Return the address of the page that another room has about a resource; "" without one."""
    finder = _finders.get(resource.type)
    return finder(scope, resource) if finder else ""


# Returns the address at which a resource that no room knows can be adopted, or "" if the scope may not do that.
_adoption_finders: dict[str, PageFinder] = {}


def register_adoption_finder(type_code: str, finder: PageFinder) -> None:
    """Register the finder of the page that adopts resources of one type."""
    _adoption_finders[type_code] = finder


def find_adoption_page(scope: Scope, resource: CloudResource) -> str:
    """Return the address of the page that adopts a resource; "" if it is managed or the scope may not adopt it."""
    finder = _adoption_finders.get(resource.type)
    return finder(scope, resource) if finder else ""
