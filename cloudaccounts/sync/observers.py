"""Let the rows of the rooms above follow the resources of a type, after a sync has read all of them in a region."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

# Called with the account's key, the region and the beginning of the listing, in the transaction that ends the region's
# listing. Writes to the database alone.
SyncObserver = Callable[[int, str, datetime], None]
_observers: dict[str, list[SyncObserver]] = {}


def register_sync_observer(type_code: str, observer: SyncObserver) -> None:
    """Register a function of a room above, to run after each complete listing of a type in a region."""
    observers = _observers.setdefault(type_code, [])
    if observer not in observers:
        observers.append(observer)


def run_sync_observers(type_code: str, account_id: int, region: str, began: datetime) -> None:
    """Run the registered functions of a type."""
    for observer in _observers.get(type_code, ()):
        observer(account_id, region, began)
