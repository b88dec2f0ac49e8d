"""What the Ansible module `release` does on a host: fetching, unpacking nothing outside, switching, keeping a few."""

from __future__ import annotations

import errno
import importlib.util
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.executors.ansible import PLAYBOOKS
from tests.deploys.loopback import Artifacts, archive, link

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

    with pytest.raises(module.Trouble) as refused:
        fetch(folder, release)

    assert refused.value.code == code
    assert left(folder) == []


OUTSIDE = "../" * 12
UNSAFE = {
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


@pytest.mark.parametrize("filtered", [True, False], ids=["newer Python", "older Python"])
@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
@pytest.mark.filterwarnings("ignore:Python 3.14:DeprecationWarning")
def test_an_unsafe_archive_leaves_nothing(folder, artifacts, tmp_path, monkeypatch, content, filtered):
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter")

    with pytest.raises(module.Trouble) as refused:
        fetch(folder, artifacts.add("1.0", content))

    assert refused.value.code == "artifact_bad"
    assert left(folder) == []
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert not os.path.exists("/tmp/evil-portal")


def test_links_that_stay_inside_are_welcome(folder, artifacts):
    content = archive({"lib/x.so.1": b"x", "lib/x.so": link("lib/x.so", "x.so.1"), "l": link("l", "lib")})

    fetch(folder, artifacts.add("1.0", content))

    assert text(folder.release("1.0") + "/l/x.so") == "x"


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

    with pytest.raises(module.Trouble) as refused:
        fetch(folder, artifacts.add("1.0", archive(FILES)))

    assert refused.value.code == "disk_full"
    assert left(folder) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(folder, artifacts, monkeypatch):
    def full(*_arguments, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", full)

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
    assert folder.look("1.0", one.sha256)["current"] == ""

    folder.switch("1.0")
    folder.settle(3)
    assert folder.look("1.0", one.sha256) == {
        "current": "1.0",
        "before": "1.0",
        "already": True,
        "portal_running": "1.0",
    }
    # Another sum under the same label is another version.
    assert not folder.look("1.0", two.sha256)["already"]

    folder.switch("2.0")
    # It takes no room, so that one can revert on a full disk.
    assert os.readlink(folder.under_way) == "releases/1.0"
    # A second try after a crash must not take 2.0 for what ran before.
    folder.switch("2.0")
    assert folder.look("2.0", two.sha256) == {
        "current": "2.0",
        "before": "1.0",
        "already": False,
        "portal_running": None,
    }
    folder.settle(3)
    assert folder.look("2.0", two.sha256)["already"]
    assert os.readlink(folder.current) == "releases/2.0"


def test_a_first_version_that_fails_leaves_none(folder, artifacts):
    fetch(folder, artifacts.add("1.0", archive(FILES)))
    folder.switch("1.0")
    assert folder.before() == ""

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
