"""Tracing with OpenTelemetry, an extra (`requirements-otel.txt`): requests, jobs, statements and requests to clouds.

`OTEL_EXPORTER_OTLP_ENDPOINT` switches it on. Without that setting, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def start_tracing() -> None:
    """Send the spans of this process, and of those that it forks, to the endpoint of the settings.

    Call it before Django loads its middleware. The other variables of OpenTelemetry (`OTEL_SERVICE_NAME`,
    `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, …) have their usual meaning.
    Raises `ImproperlyConfigured` when OpenTelemetry is not installed.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415 - only with tracing, as everything below.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415
        from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415
        from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor  # noqa: PLC0415
        from opentelemetry.instrumentation.requests import RequestsInstrumentor  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ImproperlyConfigured(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed ({error}). Install "
            "requirements-otel.txt, or unset it."
        ) from None

    os.environ.setdefault("OTEL_SERVICE_NAME", "portal")
    provider = TracerProvider(resource=Resource.create())
    # Its thread starts anew in each forked process.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    for instrumentor in (
        DjangoInstrumentor(),
        CeleryInstrumentor(),
        Psycopg2Instrumentor(),
        RequestsInstrumentor(),
    ):
        instrumentor.instrument(tracer_provider=provider)
