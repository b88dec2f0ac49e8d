"""The format of log lines: JSON in production, readable in development, with the id of the request in each line.

The fields of JSON lines have the names of the Elastic Common Schema (`log_fields.py`).
"""

from __future__ import annotations

from typing import Any

import structlog

from .log_fields import add_trace, describe_exception, name_fields
from .log_text import escape_line, escape_values, write_traceback

SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    add_trace,
]


def logging_settings(*, production: bool, level: str, request_level: str) -> dict[str, Any]:
    """Configure structlog, and return Django's LOGGING setting for it.

    `level` is the lowest level that is shown; `request_level` is the one for lines about requests.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS[1:],
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "foreign_pre_chain": SHARED_PROCESSORS,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *(
                        [
                            describe_exception,
                            name_fields,
                            escape_values,
                            structlog.processors.JSONRenderer(ensure_ascii=False),
                        ]
                        if production
                        else [
                            escape_values,
                            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=write_traceback),
                        ]
                    ),
                    escape_line,
                ],
            },
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Celery logs "received" and "succeeded" for every message; the lines of the jobs say more.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "django_structlog": {"level": request_level},
            "keystoneauth": {"level": "WARNING"},
            "openstack": {"level": "WARNING"},
        },
    }
