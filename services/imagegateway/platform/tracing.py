"""Spans of this process, exported by OTLP where the standard `OTEL_*` variables name an endpoint.

Without an endpoint nothing of OpenTelemetry is imported, and spans do nothing. No prompt, pixel, key or URL is an
attribute.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source, trace_context
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.spans import GRPC, HTTP, NO_SPAN, SpanKind

if TYPE_CHECKING:
    from imagegateway.platform.spans import Attributes, Recorder, Span
    from imagegateway.platform.trace_context import TraceContext

FLUSH_SECONDS: Final = 3.0
"""Longest time for the export of the last spans, in seconds."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class _Tracing:
    """The process's recorder, if it has one."""

    recorder: Recorder | None = None


def protocol() -> str | None:
    """Return the protocol by which the environment wants spans exported; None: no spans.

    Raises SettingError for a protocol or an exporter that this gateway does not have.
    """
    environment = setting_source.environment()
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter not in {"otlp", "none"}:
        raise SettingError(f"OTEL_TRACES_EXPORTER must be otlp or none, not {exporter!r}")
    found = next((text for name in _PROTOCOLS if (text := environment.get(name, "").strip())), HTTP)
    if found not in {HTTP, GRPC}:
        raise SettingError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {GRPC} or {HTTP}, not {found!r}")
    has_endpoint = any(environment.get(name) for name in _ENDPOINTS)
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return found if has_endpoint and exporter == "otlp" and not disabled else None


def start(process: str) -> None:
    """Start the export of spans if an endpoint is set. `process`: this process's name.

    Raises SettingError as `protocol` does, and for a value that OpenTelemetry's SDK refuses.
    """
    if chosen := protocol():
        from imagegateway.platform.span_export import SpanExport  # noqa: PLC0415  megabytes

        use(SpanExport.open(process, chosen))


def use(recorder: Recorder | None) -> None:
    """Replace the recorder of this process."""
    _Tracing.recorder = recorder


def stop() -> None:
    """Export the last spans, within `FLUSH_SECONDS`. Idempotent."""
    recorder = _Tracing.recorder
    if recorder is None:
        return
    use(None)
    # The SDK waits up to 30 s for an endpoint that does not answer.
    last = threading.Thread(target=recorder.close, name="last spans", daemon=True)
    last.start()
    last.join(FLUSH_SECONDS)


def is_on() -> bool:
    """Return whether this process exports spans."""
    return _Tracing.recorder is not None


def span(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Span:
    """Return a span that begins now, below this task's position in its trace."""
    recorder = _Tracing.recorder
    return NO_SPAN if recorder is None else recorder.start(name, kind, trace_context.current(), attributes)


def reserve() -> TraceContext | None:
    """Return the position of a span that `record` makes when it has ended: the parent of spans until then.

    The span is below this task's position. None where this process exports no spans.
    """
    position = trace_context.current()
    if _Tracing.recorder is None or position is None:
        return None
    return replace(position, span_id=secrets.token_hex(8), is_remote=False)


def record(
    name: str,
    *,
    parent: TraceContext | None,
    start: int,
    end: int,
    attributes: Attributes,
    span_id: str = "",
    error: str = "",
) -> None:
    """Record an internal span that has ended. `start` and `end` are Unix milliseconds.

    `span_id`: of a reserved position; empty: a new one.
    """
    if recorder := _Tracing.recorder:
        recorder.record(
            name,
            SpanKind.INTERNAL,
            parent=parent,
            span_id=span_id,
            start=start,
            end=end,
            attributes=attributes,
            error=error,
        )
