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
import gzip
import hashlib
import os
import shutil
import tarfile
import time
import zlib
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError

from ansible.module_utils.basic import AnsibleModule

SUM_FILE = ".portal-sha256"
CHUNK = 1024 * 1024
# What a single read may take, in seconds; `seconds` bounds the whole.
READ_SECONDS = 15
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What no archive of a release needs, and what would trouble those who remove it: paths longer than the kernel takes at
# once, folders deeper than a recursion goes, more files than fit into memory. The kernel follows 40 links at most.
HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
LARGEST_HEADER = 1024 * 1024
LONGEST_PATH = 1000
DEEPEST = 100
MOST_MEMBERS = 300_000
MOST_HOPS = 40
UNUSABLE_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


class Trouble(Exception):
    """Something that has a code of its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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

    def before(self) -> str | None:
        """The version that ran before, when a deployment is under way; None when none is."""
        try:
            return os.path.basename(os.readlink(self.under_way))
        except OSError:
            return None

    def look(self, version: str, sha256: str) -> dict[str, Any]:
        current, before = self.current_version(), self.before()
        fetched = read(os.path.join(self.release(version), SUM_FILE)) == sha256
        return {
            "current": current,
            "before": current if before is None else before,
            # A link alone proves nothing: who died after switching it may not have restarted the service.
            "already": current == version and fetched and before is None,
            "portal_running": current if before is None else None,
        }

    def switch(self, version: str) -> None:
        """Point `current` at a release, or at none when `version` is empty. Never a moment without a link."""
        if self.before() is None:
            # A link and no file: it takes no room, so that one can revert on a disk that the new version has filled.
            point(self.under_way, self.current_version())
        if version:
            point(self.current, version)
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
            self.unpack(archive, unpacked)
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

    def refuse_without_room(self, needed: int) -> None:
        # Before writing: filling the disk to its last byte would bring down what still runs.
        there = os.statvfs(self.releases)
        if needed > there.f_bavail * there.f_frsize:
            raise Trouble("disk_full", "The artifact needs %d bytes more than the disk has." % needed)

    def download(self, url: str, archive: str, sha256: str, seconds: float) -> None:
        # Imported here, as the other actions need none of it: Ansible compiles its modules anew for every task.
        from ansible.module_utils.urls import open_url

        deadline = time.monotonic() + seconds
        digest = hashlib.sha256()
        try:
            # Two statements: Python 3.8 knows no brackets around several.
            with open_url(url, timeout=READ_SECONDS, http_agent="portal-deploy") as answer:  # noqa: SIM117
                with open(archive, "wb") as file:
                    self.refuse_without_room(int(answer.headers.get("Content-Length") or 0))
                    # read1: what is there now, so that a slow server cannot hold us longer than the deadline.
                    while True:
                        data = answer.read1(CHUNK)
                        if not data:
                            break
                        file.write(data)
                        digest.update(data)
                        if time.monotonic() > deadline:
                            raise Trouble(
                                "timed_out", "The artifact did not come within %d seconds." % seconds
                            )
        except HTTPError as error:
            error.close()
            gone = error.code in (401, 403, 404, 410)
            code = "artifact_gone" if gone else "artifact_unavailable"
            raise Trouble(code, "The artifact's server answered %d." % error.code)
        except URLError as error:
            raise Trouble("artifact_unavailable", "The artifact's server does not answer: %s" % error.reason)
        if digest.hexdigest() != sha256:
            raise Trouble("artifact_wrong_sum", "The artifact's SHA-256 is %s." % digest.hexdigest())

    def unpack(self, archive: str, into: str) -> None:
        """Unpack an archive into a folder that this process has just made. Raises Trouble when it is unsafe.

        Nothing here asks the file system where a path leads: `realpath` stops silently at a path that is longer than
        the kernel takes at once (CVE-2025-4517), and the filters of `tarfile` rewrite the targets of links on one
        Python and refuse them on another. `Tree` is a picture of what is unpacked, kept in memory, and judges alone.
        Files are written while there is no symbolic link in the folder, so that nothing can be written through one;
        the links are made last, once it is known where all of them together lead.
        """
        tree = Tree()
        try:
            with tarfile.open(archive, "r:gz", tarinfo=Member) as members:
                for member in members:
                    path = tree.add(member)
                    if path:
                        self.refuse_without_room(member.size)
                        unpack_member(members, member, into, path)
            links = tree.checked_links()
            for path, target in links:
                make_parent(into, path)
                remove(os.path.join(into, path))
                os.symlink(target, os.path.join(into, path))
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
            raise Trouble("artifact_bad", "The archive cannot be unpacked: %s" % error)
        except OSError as error:
            if error.errno in UNUSABLE_NAME:
                raise Trouble("artifact_bad", "The archive cannot be unpacked: %s" % error)
            raise


class Member(tarfile.TarInfo):
    """A member whose sizes are checked before `tarfile` believes them.

    A negative one leads back to a header that was read already, for ever (CVE-2025-8194), and a long name or a pax
    header is read into memory whole.
    """

    def _block(self, count: int) -> int:
        if count < 0 or (self.type in HEADERS and count > LARGEST_HEADER):
            raise tarfile.ReadError("a size of %d is not possible" % count)
        return super()._block(count)  # type: ignore[misc,no-any-return]


class Tree:
    """What an archive holds, by path: the text of a symbolic link, or FILE, or FOLDER."""

    FILE = 0
    FOLDER = 1

    def __init__(self) -> None:
        self.entries: dict[str, int | str] = {"": self.FOLDER}

    def add(self, member: tarfile.TarInfo) -> str:
        """Take in one member, and return its path; "" for one of which nothing is to be written now."""
        path = self.path_of(member)
        if path.split("/")[0] in ("", SUM_FILE, SUM_FILE + ".new"):
            # The release's own folder is there already, and the portal writes its checksum itself.
            return ""
        if len(self.entries) > MOST_MEMBERS:
            refuse(member.name, "is one too many; at most %d are unpacked" % MOST_MEMBERS)
        self.add_parents(member, path)
        entry = self.entry_of(member)
        # Archives that were appended to hold a file twice; the later one counts. What is in a folder stays in it.
        if self.entries.get(path, entry) != entry and self.FOLDER in (entry, self.entries[path]):
            refuse(member.name, "is a folder and something else")
        if isinstance(self.entries.get(path), str) and not isinstance(entry, str):
            refuse(member.name, "would be written through a link")
        self.entries[path] = entry
        return "" if isinstance(entry, str) else path

    def path_of(self, member: tarfile.TarInfo) -> str:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if member.name.startswith("/") or ".." in parts:
            refuse(member.name, "would lie outside")
        if len(parts) > DEEPEST or len(member.name) > LONGEST_PATH:
            refuse(member.name, "lies too deep or has too long a name")
        return "/".join(parts)

    def add_parents(self, member: tarfile.TarInfo, path: str) -> None:
        parts = path.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if self.entries.setdefault(parent, self.FOLDER) != self.FOLDER:
                refuse(member.name, "lies in something that is no folder")

    def entry_of(self, member: tarfile.TarInfo) -> int | str:
        if member.isdir():
            return self.FOLDER
        if member.isreg():
            return self.FILE
        if member.issym():
            return self.link_of(member)
        if not member.islnk():
            refuse(member.name, "is a device")
        # A hard link is named from the archive's root, and to what came before.
        target = "/".join(part for part in member.linkname.split("/") if part not in ("", "."))
        entry = self.entries.get(target, self.FOLDER)
        if member.linkname.startswith("/") or entry == self.FOLDER:
            refuse(member.name, "leads outside or to no file")
        return entry

    def link_of(self, member: tarfile.TarInfo) -> str:
        target = member.linkname
        if not target or target.startswith("/") or "\0" in target or len(target) > LONGEST_PATH:
            refuse(member.name, "leads outside")
        return target

    def checked_links(self) -> list[tuple[str, str]]:
        """The symbolic links with their targets, when none of them leads outside, together or alone."""
        links = [(path, target) for path, target in self.entries.items() if isinstance(target, str)]
        for path, _target in links:
            self.follow(path)
        return links

    def follow(self, path: str) -> None:
        """Walk a path as the kernel would, and refuse it when it leaves the folder."""
        place: list[str] = []
        waiting = path.split("/")[::-1]
        hops = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                if not place:
                    refuse(path, "leads outside")
                place.pop()
            elif part not in ("", "."):
                place.append(part)
                target = self.entries.get("/".join(place))
                if isinstance(target, str):
                    hops += 1
                    if hops > MOST_HOPS:
                        refuse(path, "leads through too many links")
                    place.pop()
                    waiting.extend(target.split("/")[::-1])


def unpack_member(members: tarfile.TarFile, member: tarfile.TarInfo, into: str, path: str) -> None:
    """Write a folder, a file or a hard link; the folder holds no symbolic link yet."""
    place = os.path.join(into, path)
    if member.isdir():
        os.makedirs(place, 0o755, exist_ok=True)
        return
    make_parent(into, path)
    if member.islnk():
        linked = os.path.join(into, member.linkname)
        if os.path.normpath(linked) != place:
            remove(place)
            os.link(linked, place)
        return
    remove(place)
    mode = member.mode & 0o755 | 0o600
    if not mode & 0o100:
        mode &= ~0o111
    source = members.extractfile(member)
    assert source is not None
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        if file.tell() != member.size:
            raise EOFError("it ends in the middle of %r" % member.name[:200])
        os.fchmod(file.fileno(), mode)
    try:
        os.utime(place, (member.mtime, member.mtime))
    except (OverflowError, OSError):
        # A time that no file can have.
        pass


def make_parent(into: str, path: str) -> None:
    os.makedirs(os.path.dirname(os.path.join(into, path)), 0o755, exist_ok=True)


def refuse(name: str, why: str) -> NoReturn:
    raise Trouble("artifact_bad", "The archive's member %r %s." % (name[:200], why))


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


def point(link: str, version: str) -> None:
    """Have a link to a release, or to their folder when `version` is empty."""
    remove(link + ".new")
    os.symlink(os.path.join("releases", version), link + ".new")
    os.replace(link + ".new", link)


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def act(folder: Folder, given: dict[str, Any]) -> dict[str, Any]:
    if given["action"] == "prepare":
        found = folder.look(given["version"], given["sha256"])
        try:
            changed = folder.fetch(given["version"], given["url"], given["sha256"], given["seconds"])
        except (Trouble, OSError) as trouble:
            # Nothing was touched: what ran before runs on.
            trouble.running = found["portal_running"]  # type: ignore[union-attr]
            raise
        return dict(found, changed=changed)
    if given["action"] == "switch":
        folder.switch(given["version"])
        return {"changed": True, "portal_running": None}
    folder.settle(given["keep"])
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
        module.exit_json(**act(Folder(module.params["folder"]), module.params))
    except Trouble as trouble:
        module.fail_json(msg=str(trouble), portal_code=trouble.code, **known(trouble))
    except OSError as error:
        # Every write of an action can meet the full disk.
        code = (
            "disk_full"
            if error.errno in FULL
            else "timed_out"
            if isinstance(error, TimeoutError)
            else "failed"
        )
        module.fail_json(msg=str(error), portal_code=code, **known(error))


def known(error: Exception) -> dict[str, Any]:
    """Which version runs, as far as an error knows it."""
    return {"portal_running": error.running} if hasattr(error, "running") else {}


if __name__ == "__main__":
    main()
