"""The image, built by `buildah` on a Debian that `debootstrap` makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bare_debian import REPOSITORY, System

from .steps import report

# The Debian release whose Python is that of the Dockerfile.
RELEASE, BASE_IMAGE = "trixie", "docker.io/library/python:3.13-slim"


class Image:
    """The image, in a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = System(RELEASE, folder / "base")

    def build(self, *, keep: bool) -> None:
        """Build the base image, unless one is kept, and the image of HEAD on it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.base.log.write_text("")
        if not (keep and self.call("images", "--quiet", BASE_IMAGE, check=False)):
            report("debootstrap")
            self.base.make(keep=keep)
            self.base.run("apt-get install --yes -qq python3 python3-venv python-is-python3 ca-certificates")
            self.base.configure()
            self.base.unmount()
            container = self.call("from", "scratch")
            self.call("copy", "--quiet", container, str(self.base.root), "/")
            self.call("commit", "--quiet", "--rm", container, BASE_IMAGE)
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        clone = ["git", "clone", "--quiet", "--no-hardlinks", f"file://{REPOSITORY}", str(source)]
        subprocess.run(clone, check=True)
        report("buildah build")
        mirrors = [f"--volume={path}:{path}:ro" for path in list_local_mirrors()]
        self.call("build", "--pull-never", "--layers", *mirrors, "--tag", "portal", str(source))
        size = int(json.loads(self.call("images", "--json", "portal"))[0]["size"].split()[0].split(".")[0])
        report(f"the image has {size} MB")

    def check_content(self) -> None:
        """Check that nothing is in the image that only serves to try the portal out."""
        root = self.mount()
        absent = ["simulator", "devserver", "tests", "bench", "ops", ".git", ".env"]
        found = [name for name in absent if (root / "app" / name).exists()]
        required = (REPOSITORY / "requirements-devserver.in").read_text()
        packages = {
            name.lower().replace("-", "_") for name in re.findall(r"^([\w-]+)[=>]=", required, re.MULTILINE)
        }
        (site,) = (root / "venv/lib").glob("python*/site-packages")
        found += [path.name for path in site.iterdir() if path.name.lower().partition("-")[0] in packages]
        if found or not packages:
            sys.exit(f"The image has what it must not have: {found}")
        if left_out := [path for path in (root / "app").rglob("*.py") if not has_bytecode(path)]:
            sys.exit(f"Not compiled, so each start would compile it: {left_out[0].relative_to(root)}")
        report(f"the image has none of {', '.join([*absent, *sorted(packages)])}")

    def mount(self) -> Path:
        """Return the root of a container of the image."""
        return Path(self.call("mount", self.call("from", "--pull-never", "portal")))

    def read_configuration(self) -> dict[str, Any]:
        inspected = json.loads(self.call("inspect", "--type", "image", "portal"))
        configuration: dict[str, Any] = inspected["OCIv1"]["config"]
        return configuration

    def call(self, *arguments: str, check: bool = True) -> str:
        """Call buildah, and return what it prints. Exits when it fails."""
        storage = [f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}"]
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        result = subprocess.run(
            ["buildah", *storage, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        with self.base.log.open("a") as log:
            log.write(f"+ buildah {shlex.join(arguments)}\n{result.stdout}{result.stderr}")
        if check and result.returncode != 0:
            sys.exit(f"buildah {arguments[0]} failed:\n{result.stderr[-3000:]}\nLog: {self.base.log}")
        return result.stdout.strip()

    def remove(self) -> None:
        self.call("rm", "--all", check=False)
        self.call("rmi", "--all", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def has_bytecode(path: Path) -> bool:
    return any((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))


def list_local_mirrors() -> list[str]:
    """Return the folders of this machine that its configuration of pip names, to be seen by the build, too."""
    text = Path("/etc/pip.conf").read_text() if Path("/etc/pip.conf").exists() else ""
    named = re.findall(r"(?:file://|find-links *= *)(/[^\s]+)", text)
    return sorted({f"/{path.split('/')[1]}" for path in named if Path(path).exists()})
