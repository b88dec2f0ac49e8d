"""The code of the previous release, from the history of the repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tests.faults.framework.servers import REPOSITORY

# Where no tag names a release: the revision that wrote `tests/upgrade/portal.sql`.
UNTAGGED_RELEASE = "a0724f9"


class NoHistoryError(Exception):
    """The repository does not have the commit of the previous release."""


def find_previous_release() -> str:
    """Return the newest tag, or the revision of the previous release. Raises `NoHistoryError` in a shallow clone or an export."""
    tags = _run_git("tag", "--sort=-creatordate", "--merged", "HEAD^")
    revision = next(iter(tags.stdout.decode().split()), UNTAGGED_RELEASE)
    if _run_git("cat-file", "-e", f"{revision}^{{commit}}").returncode != 0:
        raise NoHistoryError(
            f"The history has no commit {revision} of the previous release. Fetch it: git fetch --unshallow --tags"
        )
    return revision


def extract_release(revision: str, folder: Path) -> None:
    """Write the files of a revision to a folder."""
    archive = _run_git("archive", "--format=tar", revision)
    if archive.returncode != 0:
        raise NoHistoryError(f"git archive {revision} failed: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        # As an attribute, which Pythons before 3.11.4 ignore; they have no such argument.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        files.extractall(folder)  # noqa: S202 - an archive of the repository itself.


def _run_git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False)
