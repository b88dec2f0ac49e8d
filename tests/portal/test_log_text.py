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
        assert json.loads(said)["exception"]
        assert said.count("\n") == 1
    else:
        first, *rest = said.rstrip("\n").split("\n")
        assert "it failed" in first
        assert "ValueError" in said
        assert all(line.startswith("    ") for line in rest)


def test_plain_texts_are_as_they_were(lines: Any) -> None:
    assert "Grüße, 世界 🚀 'quoted'" in lines("Grüße, %s 🚀 'quoted'", "世界", plain=True)
