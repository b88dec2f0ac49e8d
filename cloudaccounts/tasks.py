"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from .sync import resources, syncers


@shared_task(name="cloudaccounts.sync_catalogue", expires=300)
def sync_catalogue() -> None:
    """Ring for every active account."""
    for account_id in resources.accounts_to_sync():
        sync_account.delay(account_id)


@shared_task(name="cloudaccounts.sync_account", expires=300)
def sync_account(account_id: int) -> None:
    """Ring once for every type of one account."""
    for type_code in syncers.known_types():
        sync_resource.delay(account_id, type_code)


@shared_task(name="cloudaccounts.sync_resource", expires=300)
def sync_resource(account_id: int, type_code: str) -> None:
    """Sync one type of one account."""
    resources.sync_resource(account_id, type_code)
