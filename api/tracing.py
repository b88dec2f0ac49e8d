"""The trace of a request, which its jobs and their requests to clouds belong to.

A worker continues a job later, and after a crash another one does. So the trace is stored with the job, as the text that W3C
calls `traceparent`. Without tracing (`portal/tracing.py`) OpenTelemetry is not imported, and nothing here has an effect.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Version 00 of the format: ids of trace and span that are not zero, and flags.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


def current_traceparent() -> str:
    """Return the present span as a `traceparent` of 55 characters; "" without tracing."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return ""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def continue_trace(traceparent: str, name: str, **attributes: str) -> Iterator[None]:
    """Run a block in a span of a stored trace. A text that is no `traceparent` begins a new trace."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        yield
        return
    context = None
    if match := _TRACEPARENT.fullmatch(traceparent):
        trace_id, span_id, flags = (int(part, 16) for part in match.groups())
        parent = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    tracer = trace.get_tracer("portal")
    with tracer.start_as_current_span(
        name, context=context, kind=trace.SpanKind.CONSUMER, attributes=attributes
    ):
        yield
