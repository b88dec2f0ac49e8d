"""Wrong clocks of hosts: the processes of a host load `wrong_clock.c`, which is compiled for the run."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("wrong_clock.c")


def find_compiler() -> str | None:
    """Return the C compiler; None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


@dataclass(frozen=True)
class WrongClock:
    """The clock of the processes of one host."""

    library: Path
    file: Path

    @classmethod
    def create(cls, folder: Path, host: str) -> WrongClock:
        """Compile the library in a folder, unless it is there, and set the clock right. Raises `OSError` without a compiler."""
        library = folder / "wrong_clock.so"
        if not library.exists():
            compiler = find_compiler()
            if compiler is None:
                raise OSError("A wrong clock needs a C compiler: apt-get install gcc libc6-dev.")
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
        clock = cls(library, folder / f"{host}.clock")
        clock.file.write_bytes(bytes(8))
        return clock

    def set(self, seconds: int) -> None:
        """Set the clock this many seconds ahead of the true time, or behind it, in all processes at once."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables with which a process gets this clock."""
        return {"LD_PRELOAD": str(self.library), "WRONG_CLOCK_FILE": str(self.file)}
