"""Whatever comes from outside, a log line is one line of text that a terminal can show."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import re
from typing import Any

import pytest
import structlog

from portal.log_fields import ECS_VERSION, name_fields
from portal.log_format import logging_settings
from portal.log_text import MAX_TEXT

UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
EVIL = [
    "\x1b[2J\x1b]0;owned\x07",
    "a\n2030-01-01T00:00:00.000000Z [info     ] login username=admin",
    "a\r\nb\u2028c\u2029d\x85e\x0bf\x0cg",
    "half \ud83d of a pair",
    "\x9b31m \x7f \x00 \u202eevil\u2066",
    "x" * 1_000_000,
]


class Odd:
    """An object whose text is somebody else's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture(params=[True, False], ids=["production", "development"])
def production(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def lines(production: bool) -> Any:
    """Log by our settings, and give the lines as bytes of UTF-8."""
    before = structlog.get_config()
    settings = logging_settings(production=production, level="INFO", request_level="INFO")
    structlog.configure(**before)
    formatter = settings["formatters"]["line"]
    made = structlog.stdlib.ProcessorFormatter(
        **{name: value for name, value in formatter.items() if name != "()"}
    )
    written = io.BytesIO()
    handler = logging.StreamHandler(io.TextIOWrapper(written, encoding="utf-8", write_through=True))
    handler.setFormatter(made)
    # Of nobody else's tree: pytest would listen in.
    logger = logging.Logger("tests.log_text", logging.INFO)  # noqa: LOG001
    logger.addHandler(handler)

    bound = structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )

    def log(*args: Any, plain: bool = False, **kwargs: Any) -> str:
        (logger if plain else bound).info(*args, **kwargs)
        text = written.getvalue().decode()
        written.truncate(0)
        written.seek(0)
        return text

    return log


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_a_text_from_outside_stays_on_its_line(lines: Any, evil: str) -> None:
    for said in (
        lines("path %s", evil, plain=True),
        lines("%r", Odd(evil), plain=True),
        lines(evil),
        lines("request", agent=evil, list=[{"a": (evil, Odd(evil)), evil: 1}], object=Odd(evil), **{evil: 1}),
        lines("request", broken=Broken(), number=10**5000, set={evil}),
    ):
        assert said.count("\n") == 1, ascii(said)
        assert not UNFIT.search(said)
        assert len(said) < 10 * MAX_TEXT


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_an_exceptions_text_forges_no_line(lines: Any, production: bool, evil: str) -> None:
    try:
        secret = "sword" + "fish"
        raise ValueError(evil + secret[:0])
    except ValueError:
        said = lines("it failed", exc_info=True)

    assert not UNFIT.search(said)
    assert len(said) < 100_000
    assert "swordfish" not in said  # Local variables may be secrets.
    if production:
        described = json.loads(said)
        assert described["error.type"] == "ValueError"
        assert "ValueError" in described["error.stack_trace"]
        assert said.count("\n") == 1
    else:
        first, *rest = said.rstrip("\n").split("\n")
        assert "it failed" in first
        assert "ValueError" in said
        assert all(line.startswith("    ") for line in rest)


def test_plain_texts_are_as_they_were(lines: Any) -> None:
    assert "Grüße, 世界 🚀 'quoted'" in lines("Grüße, %s 🚀 'quoted'", "世界", plain=True)


def test_json_lines_have_the_names_of_the_elastic_common_schema() -> None:
    event = {
        "timestamp": "2026-01-02T03:04:05Z",
        "level": "warning",
        "logger": "tests",
        "event": "request_finished",
        "request_id": "abc",
        "request": "GET /vms/?page=2",
        "code": 404,
        "duration_ms": 12.5,
        "route": "/vms/",
        "user_id": 7,
        "ip": "192.0.2.1",
        "user_agent": "curl",
        "job_id": "job",
        "message": "a field that is called as the text",
        "error": OSError("no"),
    }

    named = name_fields(None, "", dict(event))

    assert list(named)[:3] == ["@timestamp", "log.level", "message"]
    assert named == {
        "@timestamp": "2026-01-02T03:04:05Z",
        "log.level": "warning",
        "log.logger": "tests",
        "message": "request_finished",
        "ecs.version": ECS_VERSION,
        "service.name": "portal",
        "http.request.id": "abc",
        "http.request.method": "GET",
        "url.original": "/vms/?page=2",
        "http.response.status_code": 404,
        "http.route": "/vms/",
        "event.duration": 12_500_000,
        "user.id": "7",
        "client.ip": "192.0.2.1",
        "user_agent.original": "curl",
        "portal.job_id": "job",
        "portal.message": "a field that is called as the text",
        "error.message": "no",
    }
    assert name_fields(None, "", {"event": "refused", "code": "unreadable_secret"})["error.code"] == (
        "unreadable_secret"
    )


@pytest.mark.django_db
def test_the_line_of_a_request_tells_its_route_status_and_duration(client: Any) -> None:
    with structlog.testing.capture_logs() as captured:
        client.get("/health/live", headers={"X-Request-ID": "abc"})

    (finished,) = [line for line in captured if line["event"] == "request_finished"]
    assert (finished["route"], finished["code"], finished["request"]) == (
        "/health/live",
        200,
        "GET /health/live",
    )
    assert finished["duration_ms"] >= 0
