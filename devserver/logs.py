"""The log files of an installation, which are kept over starts and rotated by size."""

import contextlib
import shutil
from pathlib import Path

# The logs of about a dozen processes, each with its rotated files, stay below one gigabyte.
MAX_LOG_BYTES = 10 * 1024 * 1024
ROTATED_FILES = 5


def rotate(folder: Path, *, largest: int = MAX_LOG_BYTES, kept: int = ROTATED_FILES) -> None:
    """Rotate each log that is too large: `web.log` becomes `web.log.1`, that one `web.log.2`, and so on.

    A new start appends to the same file, so the logs of earlier starts are kept until they are rotated out.
    A running process has its log open and would go on writing to a renamed file, so the file is copied and truncated. A line
    that is written between the two is lost.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size <= largest:
            continue
        # A full disk must not end the supervisor. The log then is not rotated.
        with contextlib.suppress(OSError):
            _rotate_log(log, kept)


def _rotate_log(log: Path, kept: int) -> None:
    for number in range(kept - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    with log.open("r+b") as file:
        file.truncate(0)
