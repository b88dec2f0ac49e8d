"""An Ansible module: the releases of one service in its folder on a host.

    <folder>/releases/<version>/   the unpacked release, with its checksum in .portal-sha256
    <folder>/current               a symbolic link to the release that is to run
    <folder>/under_way             a link to the previous release, from the switch of a deployment until it is settled

Actions: `prepare` reads the state and fetches the release if it is missing; `switch` changes the link `current`; `settle`
ends a deployment. Each may be repeated. A result has `portal_code` after a failure, and `portal_running` when it is known.

The host fetches the artifact, and not the portal, for these reasons: the portal never opens an address that a tenant
entered; it does not transfer an artifact once for every host; and a host that cannot reach the artifact fails before
anything has changed.

It runs on the host's Python, 3.8 or later, with the modules that Ansible copies (`ansible.module_utils`, BSD licence).
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

# In seconds: the limit of a single read. `seconds` limits the whole download.
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
        """Return the version that ran before the deployment that is under way, or None without one."""
        try:
            return os.path.basename(os.readlink(self.under_way))
        except OSError:
            return None

    def read_state(self, version: str, sha256: str) -> dict[str, Any]:
        current, previous_version = self.current_version(), self.previous_version()
        fetched = read_text(os.path.join(self.release(version), SUM_FILE)) == sha256
        return {
            "current": current,
            "before": current if previous_version is None else previous_version,
            # The link alone proves nothing: a deployment may have ended between the switch and the restart.
            "already": current == version and fetched and previous_version is None,
            "portal_running": current if previous_version is None else None,
        }

    def switch(self, version: str) -> None:
        """Point `current` at a release, by an atomic replacement; remove it when `version` is empty."""
        if self.previous_version() is None:
            # A symbolic link instead of a file needs no block, so a revert is possible on a full disk.
            replace_link(self.under_way, self.current_version())
        if version:
            replace_link(self.current, version)
        else:
            remove(self.current)

    def settle(self, keep: int) -> None:
        """End the deployment, and keep the `keep` newest releases including the current one."""
        remove(self.under_way)
        other_releases = [name for name in os.listdir(self.releases) if name != self.current_version()]
        other_releases.sort(key=lambda name: os.path.getmtime(self.release(name)), reverse=True)
        for name in [name for name in other_releases if name.startswith(".")] + [
            name for name in other_releases if not name.startswith(".")
        ][max(keep - 1, 0) :]:
            shutil.rmtree(self.release(name), ignore_errors=True)

    def fetch(self, version: str, url: str, sha256: str, seconds: float) -> bool:
        """Download and unpack a release unless it is there; return whether anything was done. Raises `ReleaseError`."""
        release_folder = self.release(version)
        if read_text(os.path.join(release_folder, SUM_FILE)) == sha256:
            return False
        os.makedirs(self.releases, mode=0o755, exist_ok=True)
        # The names are fixed for a version, so a repetition removes the files of a run that was killed.
        unpacked, archive = self.release(".unpacking-" + version), self.release(".fetching-" + version)
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            os.mkdir(unpacked, 0o755)
            self.download(url, archive, sha256, seconds)
            unpack(archive, unpacked, self.check_free_space)
            write_text(os.path.join(unpacked, SUM_FILE), sha256)
            if os.path.isdir(release_folder):
                # The label was built again. Processes that run from the old folder keep their open files.
                old = self.release(".old-" + version)
                shutil.rmtree(old, ignore_errors=True)
                os.rename(release_folder, old)
            os.rename(unpacked, release_folder)
        finally:
            remove(archive)
            shutil.rmtree(unpacked, ignore_errors=True)
        return True

    def check_free_space(self, needed: int) -> None:
        # Checked before writing: a full disk would break the services that still run.
        there = os.statvfs(self.releases)
        if needed > there.f_bavail * there.f_frsize:
            raise ReleaseError("disk_full", "The artifact needs %d bytes more than the disk has." % needed)

    def download(self, url: str, archive: str, sha256: str, seconds: float) -> None:
        # Imported here because the other actions do not need it, and Ansible compiles its modules for every task.
        from ansible.module_utils.urls import open_url

        deadline = time.monotonic() + seconds
        digest = hashlib.sha256()
        try:
            # Two statements: Python 3.8 knows no brackets around several.
            with open_url(url, timeout=READ_SECONDS, http_agent="portal-deploy") as response:  # noqa: SIM117
                with open(archive, "wb") as file:
                    self.check_free_space(int(response.headers.get("Content-Length") or 0))
                    # `read1` returns the bytes that have arrived, so a slow server cannot block beyond the deadline.
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


def read_text(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def write_text(path: str, text: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def replace_link(link: str, version: str) -> None:
    """Create or replace a link to a release, or to the folder of releases when `version` is empty."""
    remove(link + ".new")
    os.symlink(os.path.join("releases", version), link + ".new")
    os.replace(link + ".new", link)


def run_action(folder: Folder, params: dict[str, Any]) -> dict[str, Any]:
    if params["action"] == "prepare":
        state = folder.read_state(params["version"], params["sha256"])
        try:
            changed = folder.fetch(params["version"], params["url"], params["sha256"], params["seconds"])
        except (ReleaseError, OSError) as error:
            # Nothing was changed, so the version that ran before runs on.
            error.running = state["portal_running"]  # type: ignore[union-attr]
            raise
        return dict(state, changed=changed)
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
            # It may contain a signature.
            "url": {"no_log": True},
            "sha256": {"default": ""},
            "seconds": {"type": "int", "default": 120},
            "keep": {"type": "int", "default": 3},
        }
    )
    # The service may run as another user than the one that unpacks. The archive sets the modes of files.
    os.umask(0o022)
    try:
        module.exit_json(**run_action(Folder(module.params["folder"]), module.params))
    except ReleaseError as error:
        module.fail_json(msg=str(error), portal_code=error.code, **get_running_version(error))
    except OSError as error:
        # Every write of an action can fail on a full disk.
        code = (
            "disk_full"
            if error.errno in DISK_FULL_ERRORS
            else "timed_out"
            if isinstance(error, TimeoutError)
            else "failed"
        )
        module.fail_json(msg=str(error), portal_code=code, **get_running_version(error))


def get_running_version(error: Exception) -> dict[str, Any]:
    """Return the version that runs as `portal_running`, if the error has it."""
    return {"portal_running": error.running} if hasattr(error, "running") else {}


if __name__ == "__main__":
    main()
