"""Spans: off without an endpoint; exported by both protocols of OTLP, with parents and error types."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import trace_context, tracing
from imagegateway.platform.errors import invalid
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.spans import NO_SPAN, SpanKind
from imagegateway.platform.trace_context import TraceContext

from tests.support.collector import Collector, ReceivedSpan, collecting

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
_OFF = """
import sys
from imagegateway.platform import tracing
import imagegateway.router.__main__, imagegateway.media.__main__, imagegateway.providers.__main__
tracing.start("router-0")
assert not tracing.is_on()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.fixture(scope="module")
def shared_collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def collector(shared_collector: Collector) -> Collector:
    shared_collector.requests.clear()
    shared_collector.headers.clear()
    return shared_collector


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    tracing.stop()
    trace_context.enter(None)


@pytest.mark.processes
def test_nothing_of_opentelemetry_is_imported_without_an_endpoint() -> None:
    done = subprocess.run([sys.executable, "-c", _OFF], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}],
)
def test_standard_variables_turn_spans_off(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing.start("router-0")
    assert not tracing.is_on()
    assert tracing.span("any") is NO_SPAN


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "jaeger"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]
)
def test_unknown_exporter_or_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=name):
        tracing.start("router-0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-5"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ],
)
def test_value_that_the_sdk_refuses_is_a_setting_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=r"an OTEL_\* variable"):
        tracing.start("router-0")
    assert not tracing.is_on()


@pytest.fixture(params=["grpc", "http/protobuf"])
def exporting(request: pytest.FixtureRequest, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    protocol: str = request.param
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    endpoint = collector.grpc_url if protocol == "grpc" else collector.http_url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=images")
    tracing.start("router-0")
    return collector


def exported(collector: Collector) -> dict[str, ReceivedSpan]:
    """Export everything, and return the spans by name."""
    tracing.stop()
    return {span.name: span for span in collector.spans()}


def test_spans_reach_the_endpoint_below_their_parents(exporting: Collector) -> None:
    trace_context.continue_from({"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "rojo=1"})
    with tracing.span("call", SpanKind.SERVER, {"count": 2}), tracing.span("request", SpanKind.CLIENT) as inner:
        inner.set({"is_fast": True, "share": 0.5, "text": "a"})
    assert trace_context.current() == TraceContext(TRACE, PARENT, 1, "rojo=1")
    spans = exported(exporting)
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert spans["call"].parent_id == PARENT
    assert spans["request"].parent_id == spans["call"].span_id
    assert (spans["call"].kind, spans["request"].kind) == ("SERVER", "CLIENT")
    assert spans["call"].attributes == {"count": 2}
    assert spans["request"].attributes == {"is_fast": True, "share": 0.5, "text": "a"}
    assert spans["call"].state == "rojo=1"
    assert spans["call"].service == "imagegateway-router"
    assert exporting.headers[0]["x-team"] == "images"


@pytest.fixture
def one_export(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.http_url}/v1/traces")
    tracing.start("providers")
    return collector


def test_exception_is_named_by_its_code_or_class_without_its_text(one_export: Collector) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("broken"):
        raise ValueError("a secret text")
    with pytest.raises(Exception, match="secret"), tracing.span("refused"):
        raise invalid("prompt", "a secret text")
    with tracing.span("failed") as span:
        span.fail("429")
    spans = exported(one_export)
    assert all(span.is_error for span in spans.values())
    types = {name: span.attributes["error.type"] for name, span in spans.items()}
    assert types == {"broken": "ValueError", "refused": "invalid_value", "failed": "429"}
    assert not any(b"secret" in request.SerializeToString() for request in one_export.requests)


def test_recorded_span_has_the_reserved_id_and_the_given_times(one_export: Collector) -> None:
    with tracing.span("call"):
        caller = trace_context.current()
        own = tracing.reserve()
    assert own
    trace_context.enter(own)
    with tracing.span("child"):
        pass
    tracing.record(
        "job", parent=caller, span_id=own.span_id, start=1000, end=2500, attributes={"n": 1}, error="overloaded"
    )
    spans = exported(one_export)
    assert spans["job"].span_id == spans["child"].parent_id == own.span_id
    assert spans["job"].parent_id == spans["call"].span_id
    assert (spans["job"].start, spans["job"].end) == (1_000_000_000, 2_500_000_000)
    assert (spans["job"].is_error, spans["job"].attributes) == (True, {"n": 1, "error.type": "overloaded"})


def test_caller_that_does_not_sample_gets_no_spans(one_export: Collector) -> None:
    trace_context.continue_from({"traceparent": f"00-{TRACE}-{PARENT}-00"})
    with tracing.span("call") as span:
        assert not span.is_recording
        position = trace_context.current()
        assert position
        assert (position.trace_id, position.flags & 1) == (TRACE, 0)
    assert exported(one_export) == {}


def test_sampler_of_the_environment_holds(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_url)
    tracing.start("media")
    with tracing.span("call"):
        pass
    assert exported(collector) == {}


def test_service_name_and_resource_of_the_environment_win(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "images")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_url)
    tracing.start("media")
    with tracing.span("call"):
        pass
    assert exported(collector)["call"].service == "images"
    (resource,) = [one.resource for request in collector.requests for one in request.resource_spans]
    keys = {pair.key for pair in resource.attributes}
    assert {"deployment.environment.name", "service.instance.id", "service.version"} <= keys


def test_silent_endpoint_delays_the_stop_by_a_few_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracing.start("router-0")
        with tracing.span("call"):
            pass
        began = time.monotonic()
        tracing.stop()
        assert time.monotonic() - began < 8  # without the limit: 10 s
