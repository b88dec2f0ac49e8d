"""An Ansible module: the releases of one service in its folder on a host.

    <folder>/releases/<version>/   what was unpacked, with its checksum in .portal-sha256
    <folder>/current               a symbolic link to the release that is to run
    <folder>/under_way             there while a deployment goes on or has died: a link to what ran before

Actions: `prepare`, which looks what is there and fetches the release if it is not; `switch` the link; `settle`, which
ends a deployment. Each may be repeated. Results hold `portal_code` when something failed, and `portal_running` when that is known.

Why the host fetches, and not the portal: the portal never opens an address that a tenant wrote, one artifact does not
go through it once for every host, and a host that cannot reach the artifact says so before anything has changed.

It runs on the host's Python, 3.8 or later, with what Ansible carries along (`ansible.module_utils`, BSD licence).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from typing import Any
from urllib.error import HTTPError, URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.release_archives import CHUNK, SUM_FILE, ReleaseError, remove, unpack

# What a single read may take, in seconds; `seconds` bounds the whole.
READ_SECONDS = 15
DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Folder:
    """A service's folder."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.releases = os.path.join(path, "releases")
        self.current = os.path.join(path, "current")
        self.under_way = os.path.join(path, "under_way")

    def release(self, version: str) -> str:
        return os.path.join(self.releases, version)

    def current_version(self) -> str:
        try:
            return os.path.basename(os.readlink(self.current))
        except OSError:
            return ""

    def previous_version(self) -> str | None:
        """The version that ran before, when a deployment is under way; None when none is."""
        try:
            return os.path.basename(os.readlink(self.under_way))
        except OSError:
            return None

    def read_state(self, version: str, sha256: str) -> dict[str, Any]:
        current, previous_version = self.current_version(), self.previous_version()
        fetched = read(os.path.join(self.release(version), SUM_FILE)) == sha256
        return {
            "current": current,
            "before": current if previous_version is None else previous_version,
            # A link alone proves nothing: who died after switching it may not have restarted the service.
            "already": current == version and fetched and previous_version is None,
            "portal_running": current if previous_version is None else None,
        }

    def switch(self, version: str) -> None:
        """Point `current` at a release, or at none when `version` is empty. Never a moment without a link."""
        if self.previous_version() is None:
            # A link and no file: it takes no room, so that one can revert on a disk that the new version has filled.
            replace_link(self.under_way, self.current_version())
        if version:
            replace_link(self.current, version)
        else:
            remove(self.current)

    def settle(self, keep: int) -> None:
        """End the deployment, and keep the `keep` newest releases, that which runs among them."""
        remove(self.under_way)
        others = [name for name in os.listdir(self.releases) if name != self.current_version()]
        others.sort(key=lambda name: os.path.getmtime(self.release(name)), reverse=True)
        for name in [name for name in others if name.startswith(".")] + [
            name for name in others if not name.startswith(".")
        ][max(keep - 1, 0) :]:
            shutil.rmtree(self.release(name), ignore_errors=True)

    def fetch(self, version: str, url: str, sha256: str, seconds: float) -> bool:
        """Have a release unpacked in its place. Whether anything had to be done. Raises Trouble."""
        place = self.release(version)
        if read(os.path.join(place, SUM_FILE)) == sha256:
            return False
        os.makedirs(self.releases, mode=0o755, exist_ok=True)
        # One name for each version, so that a repetition clears away what a killed one has left.
        unpacked, archive = self.release(".unpacking-" + version), self.release(".fetching-" + version)
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            os.mkdir(unpacked, 0o755)
            self.download(url, archive, sha256, seconds)
            unpack(archive, unpacked, self.check_free_space)
            write(os.path.join(unpacked, SUM_FILE), sha256)
            if os.path.isdir(place):
                # The label was built again. What runs from the old folder keeps its open files.
                old = self.release(".old-" + version)
                shutil.rmtree(old, ignore_errors=True)
                os.rename(place, old)
            os.rename(unpacked, place)
        finally:
            remove(archive)
            shutil.rmtree(unpacked, ignore_errors=True)
        return True

    def check_free_space(self, needed: int) -> None:
        # Before writing: filling the disk to its last byte would bring down what still runs.
        there = os.statvfs(self.releases)
        if needed > there.f_bavail * there.f_frsize:
            raise ReleaseError("disk_full", "The artifact needs %d bytes more than the disk has." % needed)

    def download(self, url: str, archive: str, sha256: str, seconds: float) -> None:
        # Imported here, as the other actions need none of it: Ansible compiles its modules anew for every task.
        from ansible.module_utils.urls import open_url

        deadline = time.monotonic() + seconds
        digest = hashlib.sha256()
        try:
            # Two statements: Python 3.8 knows no brackets around several.
            with open_url(url, timeout=READ_SECONDS, http_agent="portal-deploy") as response:  # noqa: SIM117
                with open(archive, "wb") as file:
                    self.check_free_space(int(response.headers.get("Content-Length") or 0))
                    # read1: what is there now, so that a slow server cannot hold us longer than the deadline.
                    while True:
                        data = response.read1(CHUNK)
                        if not data:
                            break
                        file.write(data)
                        digest.update(data)
                        if time.monotonic() > deadline:
                            raise ReleaseError(
                                "timed_out", "The artifact did not come within %d seconds." % seconds
                            )
        except HTTPError as error:
            error.close()
            gone = error.code in (401, 403, 404, 410)
            code = "artifact_gone" if gone else "artifact_unavailable"
            raise ReleaseError(code, "The artifact's server answered %d." % error.code)
        except URLError as error:
            raise ReleaseError(
                "artifact_unavailable", "The artifact's server does not answer: %s" % error.reason
            )
        if digest.hexdigest() != sha256:
            raise ReleaseError("artifact_wrong_sum", "The artifact's SHA-256 is %s." % digest.hexdigest())


def read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def write(path: str, text: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def replace_link(link: str, version: str) -> None:
    """Have a link to a release, or to their folder when `version` is empty."""
    remove(link + ".new")
    os.symlink(os.path.join("releases", version), link + ".new")
    os.replace(link + ".new", link)


def run_action(folder: Folder, params: dict[str, Any]) -> dict[str, Any]:
    if params["action"] == "prepare":
        found = folder.read_state(params["version"], params["sha256"])
        try:
            changed = folder.fetch(params["version"], params["url"], params["sha256"], params["seconds"])
        except (ReleaseError, OSError) as error:
            # Nothing was touched: what ran before runs on.
            error.running = found["portal_running"]  # type: ignore[union-attr]
            raise
        return dict(found, changed=changed)
    if params["action"] == "switch":
        folder.switch(params["version"])
        return {"changed": True, "portal_running": None}
    folder.settle(params["keep"])
    return {"changed": True, "portal_running": folder.current_version()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "action": {"choices": ["prepare", "switch", "settle"], "required": True},
            "folder": {"type": "path", "required": True},
            "version": {"default": ""},
            # It may carry a signature.
            "url": {"no_log": True},
            "sha256": {"default": ""},
            "seconds": {"type": "int", "default": 120},
            "keep": {"type": "int", "default": 3},
        }
    )
    # The user who unpacks need not be the one as whom the service runs. The modes of files are the archive's own.
    os.umask(0o022)
    try:
        module.exit_json(**run_action(Folder(module.params["folder"]), module.params))
    except ReleaseError as error:
        module.fail_json(msg=str(error), portal_code=error.code, **running_of(error))
    except OSError as error:
        # Every write of an action can meet the full disk.
        code = (
            "disk_full"
            if error.errno in DISK_FULL_ERRORS
            else "timed_out"
            if isinstance(error, TimeoutError)
            else "failed"
        )
        module.fail_json(msg=str(error), portal_code=code, **running_of(error))


def running_of(error: Exception) -> dict[str, Any]:
    """Which version runs, as far as an error knows it."""
    return {"portal_running": error.running} if hasattr(error, "running") else {}


if __name__ == "__main__":
    main()
