"""What the Ansible module `release` does on a host: fetching, unpacking nothing outside, switching, keeping a few."""

from __future__ import annotations

import ast
import errno
import gzip
import importlib.util
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import ansible.module_utils
import pytest

from deploys.executors.ansible import PLAYBOOKS
from tests.deploys.loopback import Artifacts, archive, link

# Ansible finds it there by the configuration of a run.
ansible.module_utils.__path__.append(str(PLAYBOOKS / "module_utils"))
spec = importlib.util.spec_from_file_location("release", PLAYBOOKS / "library" / "release.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

FILES = {"bin/run": b"run", "VERSION": b"1.0"}


@pytest.fixture
def artifacts():
    server = Artifacts()
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path):
    return module.Folder(str(tmp_path / "deep" / "service"))


def fetch(folder, release):
    return folder.fetch(release.label, release.artifact_url, release.sha256, 20)


def text(path):
    return Path(path).read_text()


def left(folder):
    """What lies in the folder of releases, hidden names included."""
    return sorted(os.listdir(folder.releases))


def test_a_release_is_fetched_once(folder, artifacts):
    release = artifacts.add("1.0", archive(FILES), query="?sig=1")

    assert fetch(folder, release) is True
    assert fetch(folder, release) is False

    assert left(folder) == ["1.0"]
    assert text(folder.release("1.0") + "/bin/run") == "run"
    assert artifacts.asked == ["/1.0.tar.gz?sig=1"]


def test_a_label_that_was_built_again_is_fetched_again(folder, artifacts):
    fetch(folder, artifacts.add("1.0", archive(FILES)))

    assert fetch(folder, artifacts.add("1.0", archive({"VERSION": b"another"}))) is True

    assert text(folder.release("1.0") + "/VERSION") == "another"
    assert not os.path.exists(folder.release("1.0") + "/bin")


def test_what_a_killed_one_left_is_cleared_away(folder, artifacts):
    os.makedirs(folder.release(".unpacking-1.0") + "/half")
    Path(folder.release(".fetching-1.0")).touch()

    fetch(folder, artifacts.add("1.0", archive(FILES)))

    assert left(folder) == ["1.0"]
    assert not os.path.exists(folder.release("1.0") + "/half")


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (lambda release: replace(release, artifact_url=release.artifact_url + "x"), "artifact_gone"),
        (lambda release: replace(release, artifact_url="http://127.0.0.1:1/x"), "artifact_unavailable"),
        (lambda release: replace(release, sha256="0" * 64), "artifact_wrong_sum"),
    ],
)
def test_an_artifact_that_is_not_what_was_promised_leaves_nothing(folder, artifacts, trouble, code):
    release = trouble(artifacts.add("1.0", archive(FILES)))

    with pytest.raises(module.ReleaseError) as refused:
        fetch(folder, release)

    assert refused.value.code == code
    assert left(folder) == []


OUTSIDE = "../" * 12


def folder_entry(name):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def chain_of_links():
    """Links that the kernel follows outside, one short step after another, while `realpath` gives up at their sum."""
    members, path = {}, ""
    steps = "abcdefghijklmnop"
    for step in steps:
        members[f"{path}{'d' * 247}"] = folder_entry(f"{path}{'d' * 247}")
        members[f"{path}{step}"] = link(f"{path}{step}", "d" * 247)
        path += "d" * 247 + "/"
    far = "/".join(steps) + "/" + "l" * 254
    members[far] = link(far, "../" * len(steps))
    members["escape"] = link("escape", far + "/../..")
    return members


def with_size(name, size, kind=tarfile.REGTYPE):
    """A header that lies about its size, which `TarFile.addfile` would not write."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + b"x" * 512 + b"\0" * 1024)


UNSAFE = {
    "a chain of links longer than a path": archive(chain_of_links()),
    "a write through a chain of links": archive(chain_of_links() | {"escape/evil": b"x"}),
    "links that turn in a circle": archive({"a": link("a", "b"), "b": link("b", "a")}),
    "a link that is written through later": archive({"l": link("l", "x"), "l/evil": b"x"}),
    "a file in the place of a link": archive({"./l": link("l", "x"), "l": b"evil"}),
    "a link in the place of a folder": archive({"d/x": b"", "d": link("d", "..")}),
    "a hard link to a link upwards": archive(
        {"a/b/l": link("a/b/l", "../.."), "l": link("l", "a/b/l", tarfile.LNKTYPE)}
    ),
    "a hard link to nothing": archive({"l": link("l", "x", tarfile.LNKTYPE)}),
    "a hard link to a folder": archive({"d/x": b"", "l": link("l", "d", tarfile.LNKTYPE)}),
    "a link upwards after what is not there": archive({"l": link("l", "not/there/../../..")}),
    "a link to nowhere": archive({"l": link("l", "")}),
    "folders deeper than a recursion": archive({"d/" * 400 + "x": b""}),
    "a name longer than a file may have": archive({"n" * 300: b""}),
    "a size below nothing": with_size("x", -512),
    "a long name of a size below nothing": with_size("x", -1024, tarfile.GNUTYPE_LONGNAME),
    "a long name that fills the memory": with_size("x", 1 << 40, tarfile.GNUTYPE_LONGNAME),
    "a path upwards": archive({"../evil": b"x"}),
    "a path upwards in the middle": archive({"a/../../evil": b"x"}),
    "an absolute path": archive({"/tmp/evil-portal": b"x"}),
    "a link upwards": archive({"l": link("l", "../..")}),
    "a link away": archive({"l": link("l", "/etc")}),
    "a write through a link": archive({"l": link("l", OUTSIDE + "tmp"), "l/evil": b"x"}),
    "a hard link upwards": archive({"l": link("l", OUTSIDE + "etc/passwd", tarfile.LNKTYPE)}),
    "links that lead outside together": archive(
        {"d/x": b"", "out": link("out", "d/a/.."), "d/a": link("d/a", "..")}
    ),
    "a write through two links": archive(
        {"d/x": b"", "out": link("out", "d/a/.."), "d/a": link("d/a", ".."), "out/evil": b"x"}
    ),
    "a pipe": archive({"p": link("p", "", tarfile.FIFOTYPE)}),
    "a device": archive({"p": link("p", "", tarfile.CHRTYPE)}),
    "no archive": b"<html>Sign in</html>",
    "half an archive": archive({"x": os.urandom(50_000)})[:20_000],
}


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_archive_leaves_nothing(folder, artifacts, tmp_path, content):
    with pytest.raises(module.ReleaseError) as refused:
        fetch(folder, artifacts.add("1.0", content))

    assert refused.value.code == "artifact_bad"
    assert left(folder) == []
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert not os.path.exists("/tmp/evil-portal")


def test_links_that_stay_inside_are_welcome(folder, artifacts):
    content = archive(
        {
            "./": folder_entry("./"),
            "lib/x.so.1": b"x",
            "lib/x.so": link("lib/x.so", "x.so.1"),
            "l": link("l", "lib"),
            "bin/l": link("bin/l", ".././l/../lib"),
            "hard": link("hard", "lib/x.so.1", tarfile.LNKTYPE),
            "lib/hard.so": link("lib/hard.so", "lib/x.so", tarfile.LNKTYPE),
            "later": link("later", "not/there/yet"),
        }
    )

    fetch(folder, artifacts.add("1.0", content))

    for name in ("l/x.so", "bin/l/x.so", "hard", "lib/hard.so"):
        assert text(f"{folder.release('1.0')}/{name}") == "x"
    assert os.readlink(folder.release("1.0") + "/bin/l") == ".././l/../lib"
    assert os.readlink(folder.release("1.0") + "/later") == "not/there/yet"


def test_of_a_file_that_is_there_twice_the_later_counts(folder, artifacts):
    fetch(
        folder,
        artifacts.add("1.0", archive({"x": b"first", "./x": b"second", "y": b"file", "./y": link("y", "x")})),
    )

    assert text(folder.release("1.0") + "/x") == text(folder.release("1.0") + "/y") == "second"


def test_the_portals_own_file_is_not_taken_from_an_archive(folder, artifacts):
    members = {".portal-sha256/x": b"", ".portal-sha256.new": link(".portal-sha256.new", "x"), "x": b"whole"}
    release = artifacts.add("1.0", archive(members))

    fetch(folder, release)

    assert sorted(os.listdir(folder.release("1.0"))) == [".portal-sha256", "x"]
    assert text(folder.release("1.0") + "/x") == "whole"
    assert text(folder.release("1.0") + "/.portal-sha256").strip() == release.sha256


@pytest.mark.parametrize(
    "path",
    sorted([*(PLAYBOOKS / "library").glob("*.py"), *(PLAYBOOKS / "module_utils").glob("*.py")]),
    ids=lambda path: path.name,
)
def test_modules_are_read_by_the_oldest_python_of_hosts(path):
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_programs_stay_programs_and_nothing_else_is_taken_over(folder, artifacts):
    program = tarfile.TarInfo("run")
    program.mode, program.uid = 0o6777, 12345
    fetch(folder, artifacts.add("1.0", archive({"run": program})))

    found = os.stat(folder.release("1.0") + "/run")
    assert (found.st_mode & 0o7777, found.st_uid) == (0o755, os.getuid())


def test_a_disk_without_room_is_known_before_it_is_full(folder, artifacts, monkeypatch):
    monkeypatch.setattr(
        module.os, "statvfs", lambda _path: os.statvfs_result((4096, 4096, 9, 0, 0, 0, 0, 0, 0, 255))
    )

    with pytest.raises(module.ReleaseError) as refused:
        fetch(folder, artifacts.add("1.0", archive(FILES)))

    assert refused.value.code == "disk_full"
    assert left(folder) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(folder, artifacts, monkeypatch):
    def full(*_arguments, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)

    with pytest.raises(OSError, match="No space"):
        fetch(folder, artifacts.add("1.0", archive(FILES)))

    assert left(folder) == []


def test_the_version_that_ran_before_is_remembered_until_it_is_settled(folder, artifacts):
    one, two = (
        artifacts.add("1.0", archive(FILES)),
        artifacts.add("2.0", archive(FILES | {"VERSION": b"2.0"})),
    )
    for release in (one, two):
        fetch(folder, release)
    assert folder.read_state("1.0", one.sha256)["current"] == ""

    folder.switch("1.0")
    folder.settle(3)
    assert folder.read_state("1.0", one.sha256) == {
        "current": "1.0",
        "before": "1.0",
        "already": True,
        "portal_running": "1.0",
    }
    # Another sum under the same label is another version.
    assert not folder.read_state("1.0", two.sha256)["already"]

    folder.switch("2.0")
    # It takes no room, so that one can revert on a full disk.
    assert os.readlink(folder.under_way) == "releases/1.0"
    # A second try after a crash must not take 2.0 for what ran before.
    folder.switch("2.0")
    assert folder.read_state("2.0", two.sha256) == {
        "current": "2.0",
        "before": "1.0",
        "already": False,
        "portal_running": None,
    }
    folder.settle(3)
    assert folder.read_state("2.0", two.sha256)["already"]
    assert os.readlink(folder.current) == "releases/2.0"


def test_a_first_version_that_fails_leaves_none(folder, artifacts):
    fetch(folder, artifacts.add("1.0", archive(FILES)))
    folder.switch("1.0")
    assert folder.previous_version() == ""

    folder.switch("")
    folder.settle(3)

    assert folder.current_version() == ""
    assert not os.path.lexists(folder.current)


def test_the_newest_are_kept_and_always_the_one_that_runs(folder):
    for number in range(6):
        os.makedirs(folder.release(f"{number}.0"))
        os.utime(folder.release(f"{number}.0"), (number, number))
    os.makedirs(folder.release(".old-1.0"))
    folder.switch("1.0")

    folder.settle(3)

    assert left(folder) == ["1.0", "4.0", "5.0"]
