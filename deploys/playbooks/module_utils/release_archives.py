"""Safe unpacking of a release's archive: what no archive of a release needs is refused.

Ansible carries this file to the host with the module `release` (`module_utils` in the configuration of a run). It runs on
the host's Python, 3.8 or later, with the standard library alone.
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
# What no archive of a release needs, and what would trouble those who remove it: paths longer than the kernel takes at
# once, folders deeper than a recursion goes, more files than fit into memory. The kernel follows 40 links at most.
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
    """Something that has a code of its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unpack(archive: str, into: str, check_free_space: Callable[[int], None]) -> None:
    """Unpack an archive into a folder that this process has just made. Raises Trouble when it is unsafe.

    Nothing here asks the file system where a path leads: `realpath` stops silently at a path that is longer than
    the kernel takes at once (CVE-2025-4517), and the filters of `tarfile` rewrite the targets of links on one
    Python and refuse them on another. `ArchiveTree` is a picture of what is unpacked, kept in memory, and judges alone.
    Files are written while there is no symbolic link in the folder, so that nothing can be written through one;
    the links are made last, once it is known where all of them together lead.
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
    """A member whose sizes are checked before `tarfile` believes them.

    A negative one leads back to a header that was read already, for ever (CVE-2025-8194), and a long name or a pax
    header is read into memory whole.
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
        """Take in one member, and return its path; "" for one of which nothing is to be written now."""
        path = self.parse_path(member)
        if path.split("/")[0] in ("", SUM_FILE, SUM_FILE + ".new"):
            # The release's own folder is there already, and the portal writes its checksum itself.
            return ""
        if len(self.entries) > MAX_MEMBERS:
            raise_bad_archive(member.name, "is one too many; at most %d are unpacked" % MAX_MEMBERS)
        self.add_parents(member, path)
        entry = self.parse_entry(member)
        # Archives that were appended to hold a file twice; the later one counts. What is in a folder stays in it.
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
        # A hard link is named from the archive's root, and to what came before.
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
        """The symbolic links with their targets, when none of them leads outside, together or alone."""
        links = [(path, target) for path, target in self.entries.items() if isinstance(target, str)]
        for path, _target in links:
            self.check_link(path)
        return links

    def check_link(self, path: str) -> None:
        """Walk a path as the kernel would, and refuse it when it leaves the folder."""
        place: list[str] = []
        waiting = path.split("/")[::-1]
        hops = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                if not place:
                    raise_bad_archive(path, "leads outside")
                place.pop()
            elif part not in ("", "."):
                place.append(part)
                target = self.entries.get("/".join(place))
                if isinstance(target, str):
                    hops += 1
                    if hops > MAX_LINKS_FOLLOWED:
                        raise_bad_archive(path, "leads through too many links")
                    place.pop()
                    waiting.extend(target.split("/")[::-1])


def write_member(members: tarfile.TarFile, member: tarfile.TarInfo, into: str, path: str) -> None:
    """Write a folder, a file or a hard link; the folder holds no symbolic link yet."""
    place = os.path.join(into, path)
    if member.isdir():
        os.makedirs(place, 0o755, exist_ok=True)
        return
    create_parent(into, path)
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


def create_parent(into: str, path: str) -> None:
    os.makedirs(os.path.dirname(os.path.join(into, path)), 0o755, exist_ok=True)


def raise_bad_archive(name: str, why: str) -> NoReturn:
    raise ReleaseError("artifact_bad", "The archive's member %r %s." % (name[:200], why))


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
