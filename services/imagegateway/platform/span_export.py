"""Export of spans: OpenTelemetry's SDK and OTLP exporters. `tracing` imports this module where an endpoint is set."""

from __future__ import annotations

import os
import socket
from importlib import metadata
from typing import TYPE_CHECKING, Final

from imagegateway.platform import trace_context
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.spans import GRPC
from imagegateway.platform.trace_context import TraceContext
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from imagegateway.platform.spans import Attributes, SpanKind
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

_NAME: Final = "imagegateway"
_KINDS: Final = tuple(sorted(trace.SpanKind, key=lambda kind: kind.value))
"""OpenTelemetry's kinds, by the numbers of `SpanKind`."""
_NANOSECONDS: Final = 1_000_000
"""Nanoseconds in a millisecond."""


class SpanExport:
    """Recorder whose spans go to the endpoint of the `OTEL_*` variables, in batches of a separate thread.

    An endpoint that does not answer costs calls nothing: the oldest spans of a full queue are dropped.
    """

    def __init__(self, process: str, processor: SpanProcessor) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(resource=_resource(process), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_NAME, metadata.version(_NAME))

    @classmethod
    def open(cls, process: str, protocol: str) -> SpanExport:
        """Return a recorder for the endpoint of the environment.

        Raises SettingError for a value that the SDK refuses.
        """
        try:
            return cls(process, BatchSpanProcessor(_exporter(protocol)))
        except Exception as error:  # the SDK's errors have no class in common
            raise SettingError(f"an OTEL_* variable has a wrong value: {error}") from error

    def start(
        self, name: str, kind: SpanKind, parent: TraceContext | None, attributes: Attributes | None
    ) -> _RecordedSpan:
        """Return a span that begins now."""
        span = self._tracer.start_span(name, _below(parent), _KINDS[kind], attributes)
        return _RecordedSpan(span)

    def record(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None,
        span_id: str,
        start: int,
        end: int,
        attributes: Attributes,
        error: str,
    ) -> None:
        """Export a span that has ended. `start` and `end` are Unix milliseconds."""
        self._ids.next_span_id = int(span_id, 16) if span_id else 0
        span = self._tracer.start_span(
            name, _below(parent), _KINDS[kind], attributes, start_time=start * _NANOSECONDS
        )
        if error:
            _set_error(span, error)
        span.end(end * _NANOSECONDS)

    def close(self) -> None:
        """Export the last spans."""
        self._provider.shutdown()


class _RecordedSpan:
    """Span that is exported at its end, if the trace is sampled."""

    __slots__ = ("_position", "_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._position = _position(span)
        self._token: Token[TraceContext | None] | None = None

    @property
    def is_recording(self) -> bool:
        """Return whether the trace is sampled, and the span has not ended."""
        return self._span.is_recording()

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""
        self._span.set_attributes(attributes)

    def activate(self) -> None:
        """Make the span the parent of this task's further spans."""
        trace_context.enter(self._position)

    def fail(self, error: str) -> None:
        """Mark the span failed. `error`: the error's type."""
        _set_error(self._span, error)

    def end(self) -> None:
        """End the span."""
        self._span.end()

    def __enter__(self) -> _RecordedSpan:
        self._token = trace_context.push(self._position)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token:
            trace_context.pop(self._token)
        if isinstance(error, Exception):
            self.fail(error.code if isinstance(error, GatewayError) else type(error).__name__)
        self.end()


class _Ids(RandomIdGenerator):
    """Ids of spans. The next span gets `next_span_id`, unless that is 0."""

    next_span_id = 0

    def generate_span_id(self) -> int:
        given, self.next_span_id = self.next_span_id, 0
        return given or super().generate_span_id()


def _resource(process: str) -> Resource:
    """Return the attributes of this process. Those of the `OTEL_*` variables win."""
    ours = {
        "service.name": f"{_NAME}-{process.partition('-')[0]}",
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "service.version": metadata.version(_NAME),
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


def _exporter(protocol: str) -> SpanExporter:
    """Return the exporter of a protocol, which reads the `OTEL_EXPORTER_OTLP_*` variables."""
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        return OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter  # noqa: PLC0415

    return HttpExporter()


def _below(parent: TraceContext | None) -> Context:
    """Return OpenTelemetry's context of a parent; an empty one without a parent."""
    if parent is None:
        return Context()
    state = TraceState.from_header([parent.state]) if parent.state else None
    position = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), parent.is_remote, TraceFlags(parent.flags), state
    )
    return trace.set_span_in_context(NonRecordingSpan(position), Context())


def _position(span: trace.Span) -> TraceContext:
    context = span.get_span_context()
    return TraceContext(
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        context.trace_flags,
        context.trace_state.to_header() if context.trace_state else "",
        is_remote=False,
    )


def _set_error(span: trace.Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))
