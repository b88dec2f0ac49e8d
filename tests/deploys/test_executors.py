"""What every executor shares: what it takes in, how it is registered, and what it lets into a log."""

from __future__ import annotations

import time

import pytest

from deploys.executors import (
    Code,
    Credentials,
    Executor,
    HealthCheck,
    Order,
    Outcome,
    Release,
    Target,
    UnknownExecutorError,
    create_executor,
    list_executor_names,
    register,
)
from deploys.executors.masked_log import LINE_CHARACTERS, LOG_CHARACTERS, MaskedLog
from tests.deploys.loopback import KeyPair

TARGET = {
    "name": "web-1",
    "ip": "10.0.0.5",
    "user": "deploy",
    "service": "shop",
    "service_port": 8080,
    "folder": "/srv/shop",
}
RELEASE = {"label": "1.0", "artifact_url": "https://store.example.org/shop.tar.gz", "sha256": "0" * 64}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "web 1"},
        {"name": "-oProxyCommand=x"},
        {"name": ""},
        {"ip": "web-1.example.org"},
        {"ip": "10.0.0.5 -o x"},
        {"user": "-oProxyCommand=x"},
        {"user": "a b"},
        {"service": "../shop"},
        {"folder": "srv/shop"},
        {"folder": "/srv/../etc"},
        {"folder": "/srv/a b"},
        {"folder": "/srv/$(id)"},
        {"service_port": 0},
        {"ssh_port": 70000},
    ],
)
def test_a_target_that_could_mean_something_else_on_the_way_is_refused(wrong):
    with pytest.raises(ValueError):
        Target(**{**TARGET, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": ".."},
        {"label": "1/0"},
        {"label": ".hidden"},
        {"label": "1.0\n"},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"artifact_url": "file:///etc/passwd"},
        {"artifact_url": "https:///shop.tar.gz"},
        {"artifact_url": "https://store.example.org/a\nb"},
    ],
)
def test_a_release_that_could_mean_something_else_is_refused(wrong):
    with pytest.raises(ValueError):
        Release(**{**RELEASE, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"path": "ready"}, {"path": "/a b"}, {"path": "/\r\nX: y"}, {"port": 0}, {"in_a_row": 0}]
)
def test_a_health_check_cannot_write_headers(wrong):
    with pytest.raises(ValueError):
        HealthCheck(**wrong)


def test_secrets_are_not_shown():
    key = KeyPair.new()
    release = Release("1.0", "https://ann:hunter2@store.example.org/x?sig=abcdefgh", "0" * 64)
    order = Order(Target(**TARGET), release, Credentials(key.private, key.public))

    shown = repr(order)

    for secret in ["hunter2", "abcdefgh", *key.private.splitlines()]:
        assert secret not in shown


def masked(*lines, secrets=()):
    log = MaskedLog(lambda _line: None, secrets)
    for line in lines:
        log.add(line)
    return "\n".join(log.lines())


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("get https://ann:hunter2@store.example.org/x", "hunter2"),
        ("get https://store.example.org/x?X-Amz-Signature=0123456789abcdef&y=1 now", "0123456789abcdef"),
        ("password=hunter2", "hunter2"),
        ("DB_PASSWORD: hunter2", "hunter2"),
        ('{"db_password": "hunter2 with blanks", "x": 1}', "hunter2"),
        ("api-key = hunter2", "hunter2"),
        ("--access_token=hunter2", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
        ("Authorization: Bearer hunter2hunter2", "hunter2"),
        ("sent Bearer hunter2hunter2", "hunter2"),
        ("Cookie: a=hunter2; b=hunter2", "hunter2"),
        ("\x1b[31mpassword=hunter2\x1b[0m", "hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_masked(line, secret):
    said = masked(line)

    assert secret not in said
    assert "***" in said


def test_ordinary_lines_stay_as_they_are():
    for line in [
        "Restart the unit: changed",
        "version 1.0 of shop on web-1: ok",
        "total 15 MB, key exchange done",
    ]:
        assert masked(line) == line


def test_the_orders_own_secrets_are_masked_wherever_they_stand():
    key = KeyPair.new()
    release = Release("1.0", "https://ann:s3cr3t-s3cr3t@store.example.org/x?sig=abcdefgh&v=1", "0" * 64)
    order = Order(Target(**TARGET), release, Credentials(key.private))

    said = masked(
        f"the key is {key.private.splitlines()[1]}", "s3cr3t-s3cr3t", "xabcdefghx", secrets=order.secrets()
    )

    assert said == "the key is ***\n***\nx***x"


def test_a_key_over_several_lines_is_masked_though_it_is_not_ours():
    stranger = KeyPair.new().private

    assert masked("before", *stranger.splitlines(), "after") == "before\n***\nafter"
    assert masked(f"before\n{stranger}after") == "before\n***\nafter"


def test_a_log_is_bounded_and_keeps_its_beginning_and_its_end():
    said = []
    log = MaskedLog(said.append)
    for number in range(20_000):
        log.add(f"line {number} " + "x" * 50)
    log.add("y" * 1_000_000)

    lines = log.lines()

    assert sum(len(line) + 1 for line in lines) < LOG_CHARACTERS + 100
    assert sum(len(line) + 1 for line in said) <= LOG_CHARACTERS
    assert lines[0].startswith("line 0 ")
    assert lines[-1] == "y" * LINE_CHARACTERS
    assert lines[-2].startswith("line 19999 ")
    assert any("lines are left out" in line for line in lines)


@pytest.mark.parametrize(
    "piece",
    ["y", "a.", "http://", "password", "key=", "https://a?", "signature ", "bearer ", '"', "a:/@", "x-"],
)
def test_no_line_takes_long(piece):
    begun = time.process_time()

    masked(piece * 500_000)

    assert time.process_time() - begun < 2


def test_executors_are_found_by_name():
    assert {"ansible", "command"} <= set(list_executor_names())
    assert create_executor("command", {"seconds": 5}).seconds == 5
    with pytest.raises(UnknownExecutorError):
        create_executor("nothing")


def test_another_executor_is_a_class_and_a_name(monkeypatch):
    monkeypatch.setattr("deploys.executors.registry._executors", {})

    @register
    class Pretend(Executor):
        name = "pretend"
        label = "Pretend"

        def deploy(self, order, on_line, *, should_continue=lambda: True):
            on_line(f"pretending {order.release.label}")
            return Outcome(Code.OK, running=order.release.label)

        def check_settings(self, settings):
            return {}

    lines = []
    outcome = create_executor("pretend").deploy(Order(Target(**TARGET), Release(**RELEASE)), lines.append)

    assert (outcome.ok, outcome.running, lines) == (True, "1.0", ["pretending 1.0"])
    with pytest.raises(ValueError, match="pretend"):
        register(type("Other", (Pretend,), {}))
