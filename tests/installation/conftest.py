"""Machines on which the dev server is started."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation.machine import Machine, stop


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a space in its name that every user may enter, so that root's PostgreSQL runs as `nobody`."""
    top = Path(tempfile.mkdtemp(prefix="portal house "))
    top.chmod(0o755)
    yield top
    shutil.rmtree(top)


@pytest.fixture
def machine(folder: Path) -> Iterator[Machine]:
    machine = Machine(folder / "my data")
    yield machine
    machine.clean_up()


@pytest.fixture(scope="session")
def used_data() -> Iterator[Path]:
    """The data folder of a machine that was started once and stopped: a first start is dear, and most tests need none."""
    top = Path(tempfile.mkdtemp(prefix="portal house "))
    top.chmod(0o755)
    first = Machine(top / "my data")
    stop(first.up())
    first.clean_up()
    yield first.data
    shutil.rmtree(top)


@pytest.fixture
def used_machine(machine: Machine, used_data: Path) -> Machine:
    """One that is not started for the first time."""
    subprocess.run(["cp", "-a", used_data, machine.data], check=True)
    return machine
