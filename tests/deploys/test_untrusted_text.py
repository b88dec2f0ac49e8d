"""What hosts, programs and executors say: whatever it is, it can be stored and shown, and the job ends."""

from __future__ import annotations

import json
import socket

import pytest

from deploys.executors import Code, Executor, ExecutorError, Order, Outcome, Release, Target, register
from deploys.executors.ansible_progress import Progress
from deploys.executors.masked_log import MaskedLog
from deploys.executors.untrusted_text import clean_label, clean_text, decode_escaped, decode_output
from deploys.models import DeploymentItem
from tasks.models import ENDED, Job
from tests.deploys.deploying import company
from tests.deploys.test_executors import RELEASE, TARGET
from tests.working import work

__all__ = ["company"]

# Python's JSON writes and reads these; PostgreSQL takes neither.
NUL, HALF = "\x00", "\ud800"


# --- Texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("重启完成".encode(), "重启完成"),
        ("重启完成".encode("gbk"), "重启完成"),
        ("服务 shop 已重启".encode("gb18030"), "服务 shop 已重启"),
        ("redémarré".encode("latin-1"), "red�marr�"),
        (b"\xff\xfe\x00ok", "��\x00ok"),
        (b"plain", "plain"),
    ],
)
def test_output_is_decoded_whatever_its_encoding(data, text):
    assert decode_output(data) == text
    # As it comes in a module's answer.
    assert decode_escaped(data.decode(errors="surrogateescape")) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ({"a": NUL}, '{"a": "\\u0000"}'),
        (["x", 1], '["x", 1]'),
        (b"x", "<bytes>"),
        (f"a{NUL}b{HALF}c\x1b[31md\x9be\u202ef", "ab\ufffdcdef"),
        ("x" * 50, "x" * 20),
        (True, "true"),
    ],
)
def test_any_value_becomes_a_text_that_can_be_stored(value, text):
    cleaned = clean_text(value, 20)

    assert cleaned == text
    cleaned.encode()


@pytest.mark.parametrize("value", [None, 1, {"a": 1}, ["1.0"], "a b", "../1", "1.0\n", "x" * 200, f"1{NUL}"])
def test_what_is_no_label_is_none(value):
    assert clean_label(value) is None


def test_an_outcome_holds_what_can_be_stored_whatever_it_was_made_of():
    odd = Outcome({"ok": 1}, {"m": NUL}, {"v": 1}, "yes", (f"a{NUL}{HALF}", 5))  # type: ignore[arg-type]

    assert odd == Outcome(Code.FAILED, '{"m": "\\u0000"}', None, True, ("a\ufffd", "5"))
    assert Outcome("ok", running="1.0").ok  # type: ignore[arg-type]


def test_log_lines_hold_nothing_that_a_database_refuses():
    log = MaskedLog(lambda _line: None)
    log.add(f"a{NUL}b{HALF}\x9bc\r\nd\u2028e")

    "".join(log.lines()).encode()
    assert not set("".join(log.lines())) & {NUL, HALF, "\x9b", "\u2028"}


# --- Ansible's events ----------------------------------------------------------------------------------------


def progress_of(*events):
    """The outcome of one host after these events, each as a line of JSON or a text."""
    order = Order(Target(**TARGET), Release(**RELEASE))
    progress = Progress("host0", order, lambda _line: None)
    for event in events:
        progress.read(event if isinstance(event, str) else json.dumps(event))
    return progress.outcome(None)


def event(kind, **result):
    return {"event": kind, "host": "host0", "task": "Restart", "ignored": False, "result": result}


def stats(**hosts):
    return {"event": "playbook_on_stats", "stats": {name: ["host0"] for name in hosts}}


@pytest.mark.parametrize(
    ("events", "code", "words"),
    [
        # As Ansible counts: what was rescued, and was well then, is no failure.
        ([event("runner_on_failed", msg="no"), event("runner_on_ok"), stats(ok=1, rescued=1)], Code.OK, ""),
        ([event("runner_on_unreachable", msg="gone"), event("runner_on_ok"), stats(ok=1)], Code.OK, ""),
        ([event("runner_on_failed", msg="no"), stats(ok=1, failures=1)], Code.FAILED, "no"),
        ([event("runner_on_unreachable", msg="gone"), stats(dark=1, ok=1)], Code.UNREACHABLE, "gone"),
        # Rescued by tasks that were skipped: nothing has been well.
        ([event("runner_on_failed", msg="no"), stats(rescued=1, skipped=1)], Code.FAILED, "no"),
        ([stats(skipped=1)], Code.FAILED, "Every task of the playbook was skipped"),
        ([stats()], Code.FAILED, "no task for this host"),
        (["ERROR! no such file"], Code.FAILED, "Ansible ended before the playbook did. ERROR! no such file"),
    ],
)
def test_a_run_ends_as_ansible_counts_and_a_failure_has_its_reason(events, code, words):
    outcome = progress_of(*events)

    assert outcome.code is code
    assert words in outcome.message


ODD = [None, 1, [], {}, {"a": [NUL]}, "x" * 200, f"{NUL}{HALF}", True, 1e308]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_no_part_of_an_event_has_to_be_of_its_type(odd):
    names = ["msg", "stdout", "stderr", "module_stderr", "rc", "changed", "portal_code", "portal_running"]
    whole = dict.fromkeys(names, odd)

    for kind in ["runner_on_ok", "runner_on_failed", "runner_on_unreachable"]:
        outcome = progress_of(
            event(kind, **whole), {**event(kind), "task": odd, "ignored": odd, "result": odd}
        )
        assert outcome.code in {Code.FAILED, Code.UNREACHABLE}
        assert outcome.running is None
        json.dumps([outcome.message, *outcome.lines], ensure_ascii=False).encode()
    for forged in [
        odd,
        {"event": odd},
        {"event": "runner_on_ok", "host": odd},
        {"event": "text", "text": odd},
    ]:
        assert not progress_of(forged, {"event": "playbook_on_stats", "stats": odd}).ok
    assert not progress_of({"event": "playbook_on_stats", "stats": {"ok": odd}}).ok


def test_a_host_cannot_say_what_only_the_portal_knows():
    for code in ["ok", "cancelled", "address_refused"]:
        assert progress_of(event("runner_on_failed", portal_code=code), stats(failures=1)).code is Code.FAILED


# --- To the end of the job ---------------------------------------------------------------------------------


class Odd(Exception):
    def __str__(self):
        return f"{NUL}{HALF}"


@register
class OddExecutor(Executor):
    """Says and answers what a test has put into it."""

    name = "odd"
    label = "Odd"
    answer = None

    def deploy(self, order, on_line, *, should_continue=lambda: True):
        on_line(f"line{NUL}{HALF}")
        on_line({"a": NUL})
        return type(self).answer()

    def check_settings(self, settings):
        return {}


def raising(error):
    def answer():
        raise error

    return answer


ANSWERS = {
    "a dictionary as message": lambda: Outcome(Code.FAILED, {"m": NUL}),
    "a dictionary as version": lambda: Outcome(Code.OK, running={"v": [NUL]}),
    "a number as code": lambda: Outcome(7, running="2.0"),
    "halves and NUL": lambda: Outcome(Code.UNHEALTHY, f"{NUL}{HALF}", f"2{NUL}", lines=(NUL,)),
    "no outcome": lambda: {"code": "ok"},
    "nothing": lambda: None,
    "an exception that cannot be stored": raising(Odd()),
    "an exception that has no text": raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, NUL)),
    "an exit": raising(SystemExit(3)),
    "an error of the contract": raising(ExecutorError(Code.UNREACHABLE, {"m": NUL})),
    "recursion": raising(RecursionError(HALF)),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_nothing_that_an_executor_does_leaves_an_instance_held_or_a_job_open(company, monkeypatch, answer):
    company.service.executor = "odd"
    company.service.save()
    monkeypatch.setattr(OddExecutor, "answer", staticmethod(answer))

    company.deploy("1.0", "2.0", hosts=[0])
    work()

    company.assert_nothing_is_held()
    assert not Job.objects.exclude(status__in=ENDED).exists()
    item = DeploymentItem.objects.get()
    assert item.result in {"succeeded", "failed"}
    assert item.log.startswith("line")


# --- Health answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["HTTP/1.1 \xb2\xb3\xb9 OK", "HTTP/1.1 " + "9" * 5000, "HTTP/1.1 -200", "HTTP/1.1 2\x000 OK"]
)
def test_a_status_that_is_none_is_no_status(line):
    from deploys.executors import health
    from tests.deploys.test_health import service

    with service(line.encode("latin-1") + b"\r\n\r\n") as (port, _asked):
        assert health.request_once("127.0.0.1", port, "/") == "the answer is not HTTP"


def test_a_service_that_never_stops_dripping_holds_nobody():
    """Each byte comes before the shortest time for which one waits, so only the whole time can end it."""
    import threading
    import time

    from deploys.executors import health

    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve():
            connection, _address = listener.accept()
            with connection:
                try:
                    while not stop.wait(0.002):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        begun = time.monotonic()
        trouble = health.request_once("127.0.0.1", listener.getsockname()[1], "/", seconds=0.3)
        taken = time.monotonic() - begun
        stop.set()
        thread.join()

    assert trouble == "no answer in time"
    # Without the bound it goes on to the 65,536th byte, two minutes later.
    assert taken < 5
