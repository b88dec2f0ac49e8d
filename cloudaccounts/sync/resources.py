"""Resource sync: one type of one account, from a complete listing of each region to rows.

A region's listing is compared and written page by page; only after its last page is what was not seen marked as
expired. So half a listing expires nothing, and a region that fails leaves its rows as they were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from openstack_client import CloudError
from portal.api.database_errors import violated
from tasks.leases import held, lease, new_owner

from ..connect import open_cloud
from ..encryption import UnreadableSecret
from ..models import CloudAccount, CloudResource, SyncLog
from .syncers import Found, found_by_id, syncer_of

log = structlog.get_logger(__name__)


def regions_of(account: CloudAccount) -> list[str]:
    """The regions to look into: those that the account names, or all of its catalog. Raises `CloudError`."""
    return list(account.regions) or open_cloud(account, "").regions()


def sync_resource(account_id: int, type_code: str) -> SyncLog | None:
    """Bring one type of an account up to date; None when such a sync is on already.

    Single-flight: a running log is the only one of its account and type by a unique key, and one whose worker
    died is closed by its lease's end. Never raises for what a cloud does; the log says it.
    """
    owner = new_owner()
    SyncLog.objects.filter(
        account_id=account_id, type=type_code, state=SyncLog.State.RUNNING, lease_until__lt=Now()
    ).update(
        state=SyncLog.State.FAILED, ended_at=Now(), message=_("The worker that ran it ended before it did.")
    )
    try:
        with transaction.atomic():
            entry = SyncLog.objects.create(
                account_id=account_id, type=type_code, owner=owner, lease_until=Now() + lease()
            )
    except IntegrityError as error:
        if violated(error) != "one_running_sync_per_account_and_type":
            raise
        return None
    mine = SyncLog.objects.filter(pk=entry.pk, owner=owner)
    with held(SyncLog, owner):
        problems = _sync_regions(entry)
        entry.state = SyncLog.State.FAILED if problems else SyncLog.State.SUCCESS
        entry.message, entry.ended_at = " ".join(problems), timezone.now()
        mine.update(
            **{
                name: getattr(entry, name)
                for name in ("state", "message", "ended_at", "created", "updated", "unchanged", "expired")
            },
            owner="",
            lease_until=None,
        )
    return entry


def _sync_regions(entry: SyncLog) -> list[str]:
    """Sync every region; what went wrong, in words."""
    problems = []
    try:
        regions = regions_of(entry.account)
    except (CloudError, UnreadableSecret) as error:
        return [str(error)]
    for region in regions:
        try:
            _sync_region(entry, region)
        except (CloudError, UnreadableSecret) as error:
            problems.append(f"{region}: {error}" if len(regions) > 1 else str(error))
        except Exception:
            log.exception("resource_sync_errored", account=entry.account_id, region=region, type=entry.type)
            problems.append(_("An error of the portal itself."))
    return problems


def _sync_region(entry: SyncLog, region: str) -> None:
    cloud = open_cloud(entry.account, region)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        began: datetime = cursor.fetchone()[0]
    for page in found_by_id(syncer_of(entry.type)(cloud)):
        created, updated = write_resources(entry.account_id, region, entry.type, page, began)
        entry.created += created
        entry.updated += updated
        entry.unchanged += len(page) - created - updated
    unseen = CloudResource.objects.present().filter(
        account=entry.account, region=region, type=entry.type, last_seen_at__lt=began
    )
    entry.expired += unseen.update(expired_at=Now(), changed_at=Now())


def write_resources(
    account_id: int, region: str, type_code: str, page: Sequence[Found], seen_at: datetime
) -> tuple[int, int]:
    """Insert or update a page of findings by one statement; how many are new, and how many have changed.

    A row that was seen later than `seen_at` is left alone, so an old listing never beats a newer reading.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH new AS (
                SELECT * FROM unnest(%(id)s::text[], %(name)s::text[], %(status)s::text[], %(attributes)s::jsonb[])
                    AS t(cloud_id, name, status, attributes)
            ), old AS (
                SELECT r.id, (r.name, r.status, r.attributes) IS DISTINCT FROM (new.name, new.status, new.attributes)
                           OR r.expired_at IS NOT NULL AS differs, new.*
                FROM cloudaccounts_cloudresource AS r JOIN new USING (cloud_id)
                WHERE r.account_id = %(account)s AND r.region = %(region)s AND r.type = %(type)s
                  AND r.last_seen_at <= %(seen_at)s
            ), written AS (
                UPDATE cloudaccounts_cloudresource AS r SET
                    name = old.name, status = old.status, attributes = old.attributes, last_seen_at = %(seen_at)s,
                    changed_at = CASE WHEN old.differs THEN statement_timestamp() ELSE r.changed_at END,
                    expired_at = NULL
                FROM old WHERE r.id = old.id
            ), made AS (
                INSERT INTO cloudaccounts_cloudresource (id, account_id, region, type, cloud_id, name, status,
                    attributes, first_seen_at, last_seen_at, changed_at)
                SELECT gen_random_uuid(), %(account)s, %(region)s, %(type)s, cloud_id, name, status, attributes,
                       %(seen_at)s, %(seen_at)s, statement_timestamp()
                FROM new
                ON CONFLICT ON CONSTRAINT resource_once DO NOTHING RETURNING 1
            )
            SELECT (SELECT count(*) FROM made), count(*) FILTER (WHERE differs) FROM old
            """,
            {
                "account": account_id,
                "region": region,
                "type": type_code,
                "seen_at": seen_at,
                "id": [found.cloud_id[:255] for found in page],
                "name": [found.name.replace("\x00", "")[:255] for found in page],
                "status": [found.status[:50] for found in page],
                "attributes": [json.dumps(found.attributes).replace("\\u0000", "") for found in page],
            },
        )
        created, updated = cursor.fetchone()
        return created, updated


def accounts_to_sync() -> list[int]:
    """Every active account."""
    return list(CloudAccount.objects.filter(active=True).order_by("pk").values_list("pk", flat=True))
