"""Check a restored database against the clouds, and mend what differs by the ordinary services.

The portal's marker names the row of an object, and the metadata of servers and volumes names the information system. What
nobody's system is known of is set aside as a released object: the sweeps leave it alone, and staff adopt it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from cloudaccounts.models import CloudAccount
from tasks import restore_guard
from tasks.canary import CanaryCommand
from tasks.engine.holding import select_in_doubt
from tasks.restore_guard import DatabaseEpoch
from volumepool.models import Volume

from ..models import VirtualMachine
from ..sync.regions import select_known_regions
from ..sync.restored_regions import (
    Finding,
    FindingKind,
    RegionListing,
    RegionUnreadableError,
    compare_region,
    describe_objects,
    fetch_region,
)

# Jobs without an effect in a cloud.
HARMLESS_KINDS = frozenset({CanaryCommand.kind})
# The state must not be ended before these are settled: sweeps, pools, jobs or the bin would destroy something or give it away.
DANGEROUS_KINDS = frozenset(
    {FindingKind.FORGOTTEN, FindingKind.SPARE_HANDED_OUT, FindingKind.JOB_IN_DOUBT, FindingKind.IN_BIN}
)
# A restored VM or volume stays in the bin for at least this time, so that its tenant can look.
LEAST_BIN_DAYS = 1


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a check has found.

    `unreadable` are the regions that could not be listed, with the reason, and `skipped` the names of disabled accounts:
    nothing is known of these.
    """

    suspension: str
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[tuple[int, str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    listings: dict[tuple[int, str], RegionListing] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is to do."""
        return not (self.suspension or self.findings or self.unreadable)

    @property
    def dangers(self) -> list[Finding]:
        """Return the findings that must be settled before the portal goes on."""
        return [finding for finding in self.findings if finding.kind in DANGEROUS_KINDS]

    def select(self, kind: FindingKind) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]


def check_restore() -> RestoreReport:
    """Compare the database with every region of every active account. It writes nothing.

    Jobs in flight and the bin count only while the database counts as restored: at other times they are as they should be.
    A region that does not answer is reported, and the others are compared.
    """
    disabled = CloudAccount.objects.filter(active=False).order_by("name").values_list("name", flat=True)
    report = RestoreReport(restore_guard.find_suspension(), skipped=list(disabled))
    evidence: dict[str, str] = {}
    accounts = CloudAccount.objects.in_bulk()
    for account_id, region in select_known_regions():
        account = accounts[account_id]
        try:
            listing = fetch_region(account, region)
        except RegionUnreadableError as error:
            report.unreadable.append((account_id, region, str(error)))
            continue
        report.listings[account_id, region] = listing
        report.findings.extend(compare_region(account, region, listing))
        evidence |= describe_objects(account, region, listing)
    suspended = DatabaseEpoch.objects.exclude(suspended_at=None).first()
    if suspended is not None and suspended.suspended_at is not None:
        report.findings.extend(_find_jobs_in_doubt(suspended.suspended_at, evidence))
        report.findings.extend(_find_in_bin(suspended.suspended_at))
    return report


def _find_jobs_in_doubt(since: datetime, evidence: dict[str, str]) -> Iterable[Finding]:
    for job in select_in_doubt(since, HARMLESS_KINDS):
        seen = evidence.get(job.entity_id)
        detail = f"{job.kind} is {job.status}; " + (
            f"in the cloud, {seen}" if seen else "nothing of it was found in the cloud"
        )
        yield Finding(
            FindingKind.JOB_IN_DOUBT, None, "", "job", str(job.pk), job.subject, detail, row_id=job.entity_id
        )


def _find_in_bin(since: datetime) -> Iterable[Finding]:
    """Yield what the bin would delete earlier than a full stay after the restore."""
    for object_type, model in (("server", VirtualMachine), ("volume", Volume)):
        for row in model.objects.filter(bin_until__lt=since + measure_bin_stay()).order_by("pk"):
            cloud_id = row.openstack_id if isinstance(row, VirtualMachine) else row.volume_id
            yield Finding(
                FindingKind.IN_BIN, row.account_id, row.region, object_type, str(cloud_id), row.name,
                f"would be deleted on {row.bin_until:%Y-%m-%d %H:%M} UTC; it may have been taken out since", row_id=str(row.pk),
            )  # fmt: skip


def measure_bin_stay() -> timedelta:
    """Return how long a restored VM or volume stays in the bin."""
    return timedelta(days=max(settings.BIN_DAYS, LEAST_BIN_DAYS))
