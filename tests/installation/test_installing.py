"""`make` installs the lock as it is, whatever has been released since.

The index is a folder of tiny wheels made here, and the Makefile is the repository's own.
"""

import hashlib
import os
import re
import shutil
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-devserver.txt", "requirements-dev.txt")


def make_wheel(index: Path, name: str, version: str, *requires: str) -> str:
    """A wheel with nothing in it but what it asks for; its line in a lock."""
    folder = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{folder}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                "Provides-Extra: toml",
                *(f"Requires-Dist: {requirement}" for requirement in requires),
            ]
        ),
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    # Sums may be left out, and pip does not miss them.
    files[f"{folder}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{folder}/RECORD"])
    path = index / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in files.items():
            wheel.writestr(inside, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def stamp_of(locks: str) -> str:
    return hashlib.sha256(locks.encode()).hexdigest()[:16]


class Clone:
    """A folder with the Makefile and three small locks, and an index of which a part is newer than the locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / "index"
        index.mkdir()
        shutil.copy(REPOSITORY / "Makefile", folder)
        # As after the first step of `make test`, whose two locks are empty here.
        venv.create(folder / ".venv", with_pip=True)
        (folder / ".venv" / f".installed-{stamp_of('')}").touch()
        self.asking = make_wheel(index, "asking", "1.0", "asked[toml]>=1")
        self.asked = make_wheel(index, "asked", "1.0")
        make_wheel(index, "asked", "2.0")
        self.alone = make_wheel(index, "alone", "1.0", "missing")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "MAKE", "MFLAGS", "PYTEST_")) and name != "VIRTUAL_ENV"
        } | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}

    def install(self, *, dev: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Do what `make test` does first, with this lock of test tools."""
        self._forget()
        for name, text in zip(LOCKS, ("", "", dev), strict=True):
            (self.folder / name).write_text(text)
        return subprocess.run(
            ["make", f".venv/.installed-dev-{stamp_of(dev)}"]
            + [f"{name}={value}" for name, value in variables.items()],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _forget(self) -> None:
        """Leave nothing of what an earlier call has installed."""
        for stamp in (self.folder / ".venv").glob(".installed-dev-*"):
            stamp.unlink()
        for pattern in ("ask*", "alone*"):
            for installed in (self.folder / ".venv").glob(f"lib/python*/site-packages/{pattern}.dist-info"):
                shutil.rmtree(installed)


def installed_in(clone: Clone, pattern: str) -> str:
    found = (clone.folder / ".venv").glob(f"lib/python*/site-packages/{pattern}.dist-info")
    return " ".join(sorted(path.name.removesuffix(".dist-info") for path in found))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.mark.story
def test_the_lock_installs_although_there_is_something_newer(clone):
    answer = clone.install(dev=clone.asking + clone.asked)

    assert answer.returncode == 0, answer.stderr
    assert installed_in(clone, "ask*") == "asked-1.0 asking-1.0"

    # Why `--no-deps`: pip 23 resolves the extra anew, to the release that is not in the lock.
    flags = re.search(r"^PIP := \$\(RUN\) (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1]
    resolving = f".venv/bin/python {flags.replace('--no-deps', '')}"
    answer = clone.install(dev=clone.asking + clone.asked, PIP=resolving)
    if "pip-23" in installed_in(clone, "pip-*"):
        assert answer.returncode != 0
        assert "asked-2.0" in answer.stderr


@pytest.mark.story
def test_a_lock_that_lacks_something_is_found_out(clone):
    answer = clone.install(dev=clone.alone)

    assert answer.returncode != 0
    assert "alone 1.0 requires missing" in answer.stderr
    assert "make requirements" in answer.stderr


@pytest.mark.parametrize(
    "name", ["Makefile", "Dockerfile", "README.md", "docs/systemd.md", "docs/kubernetes.md"]
)
def test_the_lock_is_installed_as_it_is_everywhere(name):
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    installing = [line for line in text.splitlines() if re.search(r"\bpip\b.*\binstall .*requir", line)]
    assert installing or name not in {"Makefile", "Dockerfile", "docs/systemd.md"}
    for line in installing:
        assert "--require-hashes" in line
        assert "--no-deps" in line
    assert text.count("pip check") + text.count("@$(CHECK_INSTALLED)") >= len(installing)
