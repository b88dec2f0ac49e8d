"""`make debian`: run the commands of README in bare Debian systems: its apt line, `make up` and `make test`.

This needs root and `debootstrap`, because it makes whole systems in folders and enters them with `chroot`.
It runs in mount and process namespaces of its own: mounts and processes end with it, however it ends. Nothing of this
machine is mounted into the systems, so that removing their folder removes nothing else.

The configuration of apt and pip is copied from this machine into the systems. The program uses the standard library only,
because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RELEASES = ("bookworm", "trixie")
# Set in the process that is in the namespaces.
INSIDE = "BARE_DEBIAN_INSIDE"
# The variables that configure mirrors, certificates and the ports of `make up`: the systems share the machine's network.
CONFIGURATION = re.compile(r"^(PIP_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|.*_proxy|.*_PROXY|.*_PORT)$")


class StepFailed(Exception):
    """A step ended with an exit code other than 0."""


def main() -> int:
    """Read the command line, enter the namespaces, and try each release."""
    parser = argparse.ArgumentParser(
        prog="make debian", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp/portal-debian"), help="where the systems are made"
    )
    parser.add_argument("--keep", action="store_true", help="use systems that are there, and leave them")
    parser.add_argument("--only", choices=RELEASES, action="append", help="one of them; may be repeated")
    parser.add_argument(
        "--tests", default="", help="arguments for pytest, such as 'tests/installation -k lock'"
    )
    parser.add_argument(
        "--without", choices=["up", "test"], action="append", default=[], help="leave a command out"
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit(
            "This needs root: it makes whole Debian systems and enters them with chroot. Run: sudo make debian"
        )
    for program, package in [("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("git", "git")]:
        if shutil.which(program) is None:
            sys.exit(f"There is no {program}: apt-get install {package}")
    if INSIDE not in os.environ:
        return enter_namespaces()
    outcomes = []
    for release in arguments.only or RELEASES:
        system = System(release, arguments.folder / release)
        outcomes += system.try_out(keep=arguments.keep, tests=arguments.tests, without=arguments.without)
    sys.stdout.write("\n".join(["", *outcomes, ""]))
    return 1 if any("FAILED" in line for line in outcomes) else 0


def enter_namespaces() -> int:
    """Run this program again in namespaces of its own, and return its exit code."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    environment = {**os.environ, INSIDE: "1"}
    return subprocess.run([*unshare, sys.executable, *sys.argv], env=environment, check=False).returncode


class System:
    """One Debian in a folder."""

    def __init__(self, release: str, root: Path) -> None:
        self.release = release
        self.root = root
        self.log = root.with_name(f"{release}.log")

    def try_out(self, *, keep: bool, tests: str, without: list[str]) -> list[str]:
        """Run the steps until one fails, and return a line for each with its time."""
        steps = [
            ("debootstrap", lambda: self.make(keep=keep)),
            (read_apt_line(), self.install),
            ("clone", self.clone),
        ]
        if "up" not in without:
            steps += [
                ("make up", lambda: self.run("make up DETACH=1")),
                ("make down", lambda: self.run("make down")),
            ]
        if "test" not in without:
            steps.append(("make test", lambda: self.run(f"make test ARGS={shlex.quote(tests)}")))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        outcomes = []
        for title, step in steps:
            sys.stdout.write(f"{self.release}: {title} (log: {self.log})\n")
            sys.stdout.flush()
            began = time.monotonic()
            try:
                step()
            except StepFailed:
                outcomes.append(
                    f"{self.release:<10} FAILED {time.monotonic() - began:6.0f} s  {title}: {self.read_last_lines()}"
                )
                break
            outcomes.append(f"{self.release:<10} passed {time.monotonic() - began:6.0f} s  {title}")
        if not keep:
            self.unmount()
            shutil.rmtree(self.root, ignore_errors=True)
        return outcomes

    def make(self, *, keep: bool) -> None:
        """Make a minimal system, with /proc, /dev/shm and /dev/pts mounted."""
        if not (keep and (self.root / "usr/bin/apt-get").exists()):
            shutil.rmtree(self.root, ignore_errors=True)
            self.run_on_host("debootstrap", "--variant=minbase", self.release, str(self.root), *find_mirror())
        self.configure()
        self.mount("proc", "proc")
        self.mount("tmpfs", "dev/shm")
        self.mount("devpts", "dev/pts")

    def install(self) -> None:
        """Run the `apt-get` line of README."""
        self.run(f"apt-get update -qq && DEBIAN_FRONTEND=noninteractive {read_apt_line()} --yes -qq")
        # The package ca-certificates has replaced the copied bundle by its own.
        self.configure()

    def configure(self) -> None:
        """Copy the configuration of apt, pip and certificates from this machine."""
        for name in (
            "etc/pip.conf",
            "etc/xdg/pip",
            "etc/resolv.conf",
            "etc/hosts",
            "etc/ssl/certs/ca-certificates.crt",
        ):
            self.copy(Path("/") / name)
        for path in Path("/etc/apt/apt.conf.d").glob("*"):
            # Hooks call programs that the system does not have.
            if path.is_file() and not re.search(r"Invoke|Install-Pkgs", path.read_text(errors="replace")):
                self.copy(path)
        self.copy(Path("/root/.config/pip"))

    def clone(self) -> None:
        """Clone HEAD into the system, without a virtual environment, so that everything is installed there."""
        place = self.root / "root/portal"
        shutil.rmtree(place, ignore_errors=True)
        self.run_on_host("git", "clone", "--quiet", "--no-hardlinks", f"file://{REPOSITORY}", str(place))

    def run(self, command: str) -> None:
        """Run a command in the clone in the system, with a minimal environment and the configuration of the network."""
        copied = [f"{name}={value}" for name, value in os.environ.items() if CONFIGURATION.match(name)]
        place = "/root/portal" if (self.root / "root/portal").is_dir() else "/"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = ["env", "-i", f"PATH={path}", "HOME=/root", "LANG=C.UTF-8", *copied]
        self.run_on_host("chroot", str(self.root), *environment, "sh", "-c", f"cd {place} && {command}")

    def run_on_host(self, *program: str) -> None:
        """Run a program of this machine, and append its output to the log. Raises `StepFailed`."""
        with self.log.open("ab") as log:
            log.write(
                f"+ {shlex.join(program)}\n".encode()
                if program[0] != "chroot"
                else f"+ {program[-1]}\n".encode()
            )
            log.flush()
            result = subprocess.run(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if result.returncode != 0:
            raise StepFailed(program)

    def copy(self, source: Path) -> None:
        """Copy a file or folder of this machine to the same place in the system."""
        target = self.root / source.relative_to("/")
        if not source.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)

    def mount(self, kind: str, place: str) -> None:
        target = self.root / place
        target.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(target):
            self.run_on_host("mount", "-t", kind, kind, str(target))

    def unmount(self) -> None:
        for place in ("dev/pts", "dev/shm", "proc"):
            if os.path.ismount(self.root / place):
                self.run_on_host("umount", str(self.root / place))

    def read_last_lines(self) -> str:
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])


def read_apt_line() -> str:
    """Return the apt line of README."""
    (line,) = re.findall(r"^    (apt-get install .+)$", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    return line


def find_mirror() -> list[str]:
    """Return the Debian mirror of this machine; empty if it is no Debian, so that debootstrap takes its default."""
    if not re.search(r"^ID=debian$", Path("/etc/os-release").read_text(), re.MULTILINE):
        return []
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.*"))]
    text = "\n".join(
        path.read_text() for path in sources if path.suffix in {".list", ".sources"} and path.is_file()
    )
    return re.findall(r"^(?:URIs:|deb(?: \[.*?\])?) *(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)[:1]


if __name__ == "__main__":
    sys.exit(main())
