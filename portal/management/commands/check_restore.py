import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudaccounts.models import CloudAccount
from tasks import restore_guard
from tenants.models import User
from vms.services.restore_mending import mend_restore
from vms.services.restores import RestoreReport, check_restore
from vms.sync.restored_regions import Finding, FindingKind

TITLES = {
    FindingKind.FORGOTTEN: "In the cloud, with the portal's marker, and without a row",
    FindingKind.LOST: "With a row, and not in the cloud",
    FindingKind.CHANGED: "Different in the cloud",
    FindingKind.SPARE_HANDED_OUT: "Spares that a tenant has got since the backup",
    FindingKind.JOB_IN_DOUBT: "Jobs in flight, which may have ended since the backup",
    FindingKind.IN_BIN: "In the bin, from which it may have been taken since the backup",
}
NOTES = (
    "Users, tenants, roles and cloud accounts that were added since the backup are gone, with what they have in their clouds.",
    "Passwords, API tokens and sessions are those of the backup: revoke again what was revoked since.",
    "Idempotency keys since the backup are unknown: a request that a client repeats now is carried out again.",
    "Names, tags, protection, end dates and owners of VMs that were changed since are those of the backup.",
    "Snapshots and key pairs that were made since the backup stay in the cloud, without a row.",
    "Services show the versions of the backup: what was deployed since runs on the hosts.",
    "What was released or adopted since the backup is as it was before that.",
)


class Command(BaseCommand):
    """Compare a database that was restored from a backup with the clouds: docs/restoring.md.

    Without an option, nothing is changed. Exit code 0: nothing is to do; 1: something is.
    """

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options, of which one can be chosen, and the form of the report."""
        actions = parser.add_mutually_exclusive_group()
        actions.add_argument(
            "--begin",
            action="store_true",
            help="let the database count as restored; do this before workers and beat are started",
        )
        actions.add_argument("--mend", action="store_true", help="mend what is found")
        actions.add_argument("--end", action="store_true", help="let the database count as checked")
        parser.add_argument(
            "--accept-losses",
            action="store_true",
            help="with --mend: mark what is lost, even if that is a large part of an account",
        )
        parser.add_argument(
            "--user", help="with --mend: the platform administrator who adopts what was forgotten"
        )
        parser.add_argument("--force", action="store_true", help="with --end: although something is left")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out the chosen action, and print the report. Raises `SystemExit` with 1 if something is to do."""
        self.is_json = options["json"]
        if options["begin"]:
            restore_guard.suspend()
            self.tell(
                "The database counts as restored: sweeps, pools, jobs and the bin do nothing until --end."
            )
            return
        if options["mend"]:
            report = mend_restore(
                user=_find_user(options["user"]), tell=self.tell, accept_losses=options["accept_losses"]
            )
        else:
            report = check_restore()
        if options["end"]:
            self.end(report, is_forced=options["force"])
            return
        self.write_report(report)
        if not report.is_clean:
            raise SystemExit(1)

    def end(self, report: RestoreReport, *, is_forced: bool) -> None:
        """End the state, unless something is left that the portal would destroy or give away."""
        if (report.dangers or report.unreadable) and not is_forced:
            self.write_report(report)
            self.stderr.write("Not ended: mend this first (--mend), or end it nevertheless (--end --force).")
            raise SystemExit(1)
        restore_guard.resume()
        self.tell("The database counts as checked: sweeps, pools, jobs and the bin go on.")

    def tell(self, line: str) -> None:
        """Print a line; with --json to the other stream, so that the report can be parsed."""
        (self.stderr if self.is_json else self.stdout).write(line)

    def write_report(self, report: RestoreReport) -> None:
        """Print the report, by account."""
        names = dict(CloudAccount.objects.values_list("pk", "name"))
        if self.is_json:
            self.stdout.write(json.dumps(_build_json(report, names), indent=2))
            return
        self.stdout.write(f"Restored, not checked: {report.suspension or 'no'}")
        for account_id, region, reason in report.unreadable:
            self.stdout.write(f"\nNOT COMPARED: {names[account_id]} / {region}: {reason}")
        for name in report.skipped:
            self.stdout.write(f"\nNOT COMPARED: {name}: the account is disabled.")
        places = sorted({(finding.account_id or 0, finding.region) for finding in report.findings})
        for account_id, region in places:
            self.stdout.write(f"\n{names[account_id]} / {region}" if account_id else "\nThe portal itself")
            found = [
                one for one in report.findings if (one.account_id or 0, one.region) == (account_id, region)
            ]
            for kind, title in TITLES.items():
                self.write_findings(title, [finding for finding in found if finding.kind == kind])
        if report.suspension:
            self.stdout.write("\nThis can not be found out, and stays as it was at the backup:")
            for note in NOTES:
                self.stdout.write(f"  - {note}")
        counts = Counter(finding.kind for finding in report.findings)
        totals = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        self.stdout.write(f"\nFound: {totals or 'nothing'}.")

    def write_findings(self, title: str, findings: list[Finding]) -> None:
        """Print the findings of a kind."""
        if findings:
            self.stdout.write(f"  {title}:")
        for finding in findings:
            detail = f": {finding.detail}" if finding.detail else ""
            self.stdout.write(f"    {finding.object_type} {finding.name} ({finding.cloud_id}){detail}")


def _find_user(username: str | None) -> User:
    """Return the platform administrator of a name. Raises `CommandError`."""
    if not username:
        raise CommandError("--mend needs --user: the platform administrator who adopts what was forgotten.")
    user: User | None = User.objects.filter(username=username, is_active=True, is_superuser=True).first()
    if user is None:
        raise CommandError(f"There is no active superuser '{username}'. Name one with --user.")
    return user


def _build_json(report: RestoreReport, names: dict[int, str]) -> dict[str, Any]:
    return {
        "suspension": report.suspension,
        "clean": report.is_clean,
        "findings": [
            {**asdict(finding), "kind": finding.kind.value, "account": names.get(finding.account_id or 0, "")}
            for finding in report.findings
        ],
        "unreadable": [
            {"account": names[account_id], "region": region, "reason": reason}
            for account_id, region, reason in report.unreadable
        ],
        "skipped": report.skipped,
        "unknown": list(NOTES) if report.suspension else [],
    }
