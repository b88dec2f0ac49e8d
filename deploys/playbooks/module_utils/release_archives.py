"""Safe unpacking of a release's archive. Features that a release does not need are refused.

Ansible copies this file to the host with the module `release` (`module_utils` in the configuration of a run). It runs on
the host's Python, 3.8 or later, with only the standard library.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import tarfile
import zlib
from typing import Callable, NoReturn

SUM_FILE = ".portal-sha256"
CHUNK = 1024 * 1024
# No release needs more than these, and more would make its removal fail: the kernel refuses longer paths, recursion is
# limited, and the list of members is kept in memory. The kernel follows at most 40 links.
HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
MAX_HEADER_BYTES = 1024 * 1024
MAX_PATH = 1000
MAX_DEPTH = 100
MAX_MEMBERS = 300_000
MAX_LINKS_FOLLOWED = 40
UNUSABLE_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


class ReleaseError(Exception):
    """A release that cannot be fetched or unpacked. `code` is a value of `contract.Code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unpack(archive: str, into: str, check_free_space: Callable[[int], None]) -> None:
    """Unpack an archive into an empty folder of this process. Raises `ReleaseError` when it is unsafe.

    Paths are resolved in memory (`ArchiveTree`), not by the file system: `realpath` stops silently at a path that is too
    long for the kernel (CVE-2025-4517), and the filters of `tarfile` rewrite the targets of links in some Python versions
    and refuse them in others.
    Files are written before any symbolic link exists, so nothing can be written through a link. The links are created
    last, after it was checked that all of them together stay inside the folder.
    """
    tree = ArchiveTree()
    try:
        with tarfile.open(archive, "r:gz", tarinfo=CheckedMember) as members:
            for member in members:
                path = tree.add(member)
                if path:
                    check_free_space(member.size)
                    write_member(members, member, into, path)
        links = tree.check_links()
        for path, target in links:
            create_parent(into, path)
            remove(os.path.join(into, path))
            os.symlink(target, os.path.join(into, path))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise ReleaseError("artifact_bad", "The archive cannot be unpacked: %s" % error)
    except OSError as error:
        if error.errno in UNUSABLE_NAME_ERRORS:
            raise ReleaseError("artifact_bad", "The archive cannot be unpacked: %s" % error)
        raise


class CheckedMember(tarfile.TarInfo):
    """A member whose sizes are checked before `tarfile` uses them.

    A negative size makes `tarfile` read the same header for ever (CVE-2025-8194), and `tarfile` reads a long name or a
    pax header into memory as a whole.
    """

    def _block(self, count: int) -> int:
        if count < 0 or (self.type in HEADER_TYPES and count > MAX_HEADER_BYTES):
            raise tarfile.ReadError("a size of %d is not possible" % count)
        return super()._block(count)  # type: ignore[misc,no-any-return]


class ArchiveTree:
    """The members of an archive by path: the target of a symbolic link, or FILE, or FOLDER."""

    FILE = 0
    FOLDER = 1

    def __init__(self) -> None:
        self.entries: dict[str, int | str] = {"": self.FOLDER}

    def add(self, member: tarfile.TarInfo) -> str:
        """Add a member and return its path; "" for a member that is not written now."""
        path = self.parse_path(member)
        if path.split("/")[0] in ("", SUM_FILE, SUM_FILE + ".new"):
            # The folder of the release exists, and the portal writes the checksum itself.
            return ""
        if len(self.entries) > MAX_MEMBERS:
            raise_bad_archive(member.name, "is one too many; at most %d are unpacked" % MAX_MEMBERS)
        self.add_parents(member, path)
        entry = self.parse_entry(member)
        # An archive that was appended to may contain a file twice; the last one counts. A folder stays a folder.
        if self.entries.get(path, entry) != entry and self.FOLDER in (entry, self.entries[path]):
            raise_bad_archive(member.name, "is a folder and something else")
        if isinstance(self.entries.get(path), str) and not isinstance(entry, str):
            raise_bad_archive(member.name, "would be written through a link")
        self.entries[path] = entry
        return "" if isinstance(entry, str) else path

    def parse_path(self, member: tarfile.TarInfo) -> str:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if member.name.startswith("/") or ".." in parts:
            raise_bad_archive(member.name, "would lie outside")
        if len(parts) > MAX_DEPTH or len(member.name) > MAX_PATH:
            raise_bad_archive(member.name, "lies too deep or has too long a name")
        return "/".join(parts)

    def add_parents(self, member: tarfile.TarInfo, path: str) -> None:
        parts = path.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if self.entries.setdefault(parent, self.FOLDER) != self.FOLDER:
                raise_bad_archive(member.name, "lies in something that is no folder")

    def parse_entry(self, member: tarfile.TarInfo) -> int | str:
        if member.isdir():
            return self.FOLDER
        if member.isreg():
            return self.FILE
        if member.issym():
            return self.parse_link(member)
        if not member.islnk():
            raise_bad_archive(member.name, "is a device")
        # The target of a hard link is relative to the archive's root, and an earlier member.
        target = "/".join(part for part in member.linkname.split("/") if part not in ("", "."))
        entry = self.entries.get(target, self.FOLDER)
        if member.linkname.startswith("/") or entry == self.FOLDER:
            raise_bad_archive(member.name, "leads outside or to no file")
        return entry

    def parse_link(self, member: tarfile.TarInfo) -> str:
        target = member.linkname
        if not target or target.startswith("/") or "\0" in target or len(target) > MAX_PATH:
            raise_bad_archive(member.name, "leads outside")
        return target

    def check_links(self) -> list[tuple[str, str]]:
        """Return the symbolic links with their targets. Raises `ReleaseError` if any combination leads outside."""
        links = [(path, target) for path, target in self.entries.items() if isinstance(target, str)]
        for path, _target in links:
            self.check_link(path)
        return links

    def check_link(self, path: str) -> None:
        """Resolve a path as the kernel does. Raises `ReleaseError` when it leaves the folder."""
        destination: list[str] = []
        remaining = path.split("/")[::-1]
        links_followed = 0
        while remaining:
            part = remaining.pop()
            if part == "..":
                if not destination:
                    raise_bad_archive(path, "leads outside")
                destination.pop()
            elif part not in ("", "."):
                destination.append(part)
                target = self.entries.get("/".join(destination))
                if isinstance(target, str):
                    links_followed += 1
                    if links_followed > MAX_LINKS_FOLLOWED:
                        raise_bad_archive(path, "leads through too many links")
                    destination.pop()
                    remaining.extend(target.split("/")[::-1])


def write_member(members: tarfile.TarFile, member: tarfile.TarInfo, into: str, path: str) -> None:
    """Write a folder, a file or a hard link. The target folder must not contain symbolic links yet."""
    destination = os.path.join(into, path)
    if member.isdir():
        os.makedirs(destination, 0o755, exist_ok=True)
        return
    create_parent(into, path)
    if member.islnk():
        linked = os.path.join(into, member.linkname)
        if os.path.normpath(linked) != destination:
            remove(destination)
            os.link(linked, destination)
        return
    remove(destination)
    mode = member.mode & 0o755 | 0o600
    if not mode & 0o100:
        mode &= ~0o111
    source = members.extractfile(member)
    assert source is not None
    with os.fdopen(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        if file.tell() != member.size:
            raise EOFError("it ends in the middle of %r" % member.name[:200])
        os.fchmod(file.fileno(), mode)
    try:
        os.utime(destination, (member.mtime, member.mtime))
    except (OverflowError, OSError):
        # The file system cannot store this time.
        pass


def create_parent(into: str, path: str) -> None:
    os.makedirs(os.path.dirname(os.path.join(into, path)), 0o755, exist_ok=True)


def raise_bad_archive(name: str, why: str) -> NoReturn:
    raise ReleaseError("artifact_bad", "The archive's member %r %s." % (name[:200], why))


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
