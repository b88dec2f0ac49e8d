"""The logs of an installation: kept from start to start, and bounded."""

from devserver import logs


def test_a_small_log_goes_on(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("the start before")

    logs.rotate(tmp_path, largest=100)

    assert log.read_text() == "the start before"
    assert list(tmp_path.iterdir()) == [log]


def test_a_large_log_is_put_away_and_the_oldest_goes(tmp_path):
    log = tmp_path / "web.log"
    for number in range(9):
        log.write_text(f"{number}" * 101)
        logs.rotate(tmp_path, largest=100, kept=3)

    assert {path.name: path.read_text()[:1] for path in tmp_path.iterdir()} == {
        "web.log": "",
        "web.log.1": "8",
        "web.log.2": "7",
        "web.log.3": "6",
    }


def test_a_part_that_runs_writes_on(tmp_path):
    with (tmp_path / "web.log").open("ab", buffering=0) as part:
        part.write(b"before " * 20)
        logs.rotate(tmp_path, largest=100)
        part.write(b"after")

    assert (tmp_path / "web.log").read_bytes() == b"after"
    assert (tmp_path / "web.log.1").read_bytes() == b"before " * 20
