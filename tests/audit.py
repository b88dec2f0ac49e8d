"""`python tests/audit.py PROGRAM FILE...`: look known vulnerabilities of the locked requirements up, by the program pip-audit.

Exit code 0: none is known, or no service answered, which is told. 1: there is one. 2: pip-audit failed otherwise.

A mirror of the package index may answer without knowing vulnerabilities. pip-audit then skips every package and finds none,
which would look like a clean result: here it counts as no answer, and the next service is tried.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Either may be unreachable from where this runs.
SERVICES = ("pypi", "osv")
SECONDS = 300
_UNREACHABLE = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|ServiceError|ProxyError|SSLError|HTTPError"
)


@dataclass
class Lookup:
    """The answer of one service about one file. Without packages it did not answer."""

    packages: int = 0
    skipped: list[str] = field(default_factory=list)
    vulnerabilities: list[str] = field(default_factory=list)


class AuditError(Exception):
    """pip-audit failed for another reason than an unreachable service."""


def look_up(program: str, file: Path, service: str) -> Lookup:
    """Ask one service about one file of requirements. Raises `AuditError`."""
    arguments = [
        "--disable-pip",
        "--require-hashes",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--vulnerability-service",
    ]
    try:
        run = subprocess.run(
            [program, *arguments, service, "--requirement", file],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Lookup()
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        if _UNREACHABLE.search(run.stderr):
            return Lookup()
        raise AuditError(f"pip-audit could not read {file}:\n{run.stderr[-2000:]}") from None
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return Lookup()
    found = [
        f"{package['name']} {package['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for package in packages
        for known in package.get("vulns", [])
    ]
    return Lookup(len(packages), skipped, found)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main(program: str, files: list[Path]) -> int:
    """Audit each file, print what is known, and return the exit code."""
    found: list[str] = []
    for file in files:
        for service in SERVICES:
            lookup = look_up(program, file, service)
            if lookup.packages:
                break
        else:
            say(
                f"{file}: not audited, because no index with vulnerabilities answered ({', '.join(SERVICES)})."
            )
            continue
        skipped = f"; not known there: {', '.join(lookup.skipped)}" if lookup.skipped else ""
        say(
            f"{file}: {lookup.packages} packages, {len(lookup.vulnerabilities)} known vulnerabilities ({service}){skipped}"
        )
        found += lookup.vulnerabilities
    for line in sorted(set(found)):
        say(f"  {line}")
    if found:
        say("Raise the versions: make requirements UPGRADE=1")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], [Path(name) for name in sys.argv[2:]]))
    except AuditError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
