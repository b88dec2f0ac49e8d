"""The log files of an installation: kept over starts, bounded in size."""

import contextlib
import shutil
from pathlib import Path

# The logs of all parts together stay below a gigabyte: about a dozen parts, each with its log and the older ones.
LARGEST_BYTES = 10 * 1024 * 1024
OLDER_KEPT = 5


def rotate(folder: Path, *, largest: int = LARGEST_BYTES, kept: int = OLDER_KEPT) -> None:
    """Put away each log that has grown too large: `web.log` becomes `web.log.1`, that one `web.log.2`, and so on.

    A new start goes on in the same file, so nothing of the starts before is lost before its turn comes.
    A part that runs has the file open and would write on in a renamed one; so the file is copied and emptied. It is open
    for appending, so that what comes next begins at its new start. A line written between the two is lost.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size <= largest:
            continue
        # A full disk must not end the supervisor; the log then stays as it is.
        with contextlib.suppress(OSError):
            _put_away(log, kept)


def _put_away(log: Path, kept: int) -> None:
    for number in range(kept - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    with log.open("r+b") as file:
        file.truncate(0)
