"""OTLP collector of tests: a gRPC and an HTTP server that decode what exporters send."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One exported span. Times are Unix nanoseconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    start: int
    end: int
    attributes: dict[str, Any]
    is_error: bool
    service: str
    instance: str
    """Host name and process id of the process."""


@dataclass(slots=True)
class Collector:
    """Everything that exporters have sent. `grpc_url` and `http_url` are endpoints for exporters."""

    grpc_url: str = ""
    http_url: str = ""
    requests: list[pb.ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Metadata or headers of each request."""

    def spans(self, trace_id: str = "") -> list[ReceivedSpan]:
        """Return the spans of one trace, or all."""
        return [
            _span(span, resource)
            for request in list(self.requests)
            for spans in request.resource_spans
            for resource in [_attributes(spans.resource.attributes)]
            for scope in spans.scope_spans
            for span in scope.spans
            if trace_id in {"", span.trace_id.hex()}
        ]

    def wait(self, trace_id: str, *names: str, seconds: float = 15.0) -> list[ReceivedSpan]:
        """Wait until a trace has spans of all these names, and no more come for a moment. Return all its spans.

        A span comes after those below it: at its end.
        """
        found: list[ReceivedSpan] = []

        def is_whole() -> bool:
            before = len(found)
            found[:] = self.spans(trace_id)
            return len(found) == before and set(names) <= {span.name for span in found}

        try:
            eventually(is_whole, seconds, f"the trace has {names}")
        except AssertionError as error:
            error.add_note(f"The trace has {[span.name for span in found]}.")
            raise
        return found


class _GrpcService(pb_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:
        self._collector.headers.append({name: str(value) for name, value in context.invocation_metadata()})
        self._collector.requests.append(request)
        return pb.ExportTraceServiceResponse()


@contextmanager
def collecting(host: str = "127.0.0.1") -> Iterator[Collector]:
    """Run a collector on two free ports of an address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.requests.append(pb.ExportTraceServiceRequest.FromString(body))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
            pass

    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(_GrpcService(collector), server)  # type: ignore[no-untyped-call]  # no stubs
    collector.grpc_url = f"http://{host}:{server.add_insecure_port(f'{host}:0')}"
    server.start()
    http = ThreadingHTTPServer((host, 0), Handler)
    collector.http_url = f"http://{host}:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        server.stop(None).wait()


def _span(span: trace_pb2.Span, resource: Mapping[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        is_error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        service=str(resource["service.name"]),
        instance=str(resource["service.instance.id"]),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}
