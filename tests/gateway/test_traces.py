"""Traces of a whole stack, read back from a collector: one trace from the caller to the provider and the webhook."""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.emulators import bfl, openai
from tests.gateway import inputs, rest
from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import ASYNC, Caller
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.providers.providers import serving
from tests.gateway.rest import EDITS, GENERATIONS
from tests.support.collector import Collector, ReceivedSpan, collecting
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.receiver import Receiver
    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

TAKEOVER_SECONDS: Final = 60.0
ROUTER, PROVIDERS = "imagegateway-router", "imagegateway-providers"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    emulators = {
        "openai": openai.OpenAI(key=secrets.token_hex(16)),
        "bfl": bfl.Bfl(key=secrets.token_hex(16), script=("Pending", "Ready")),
    }
    with serving(emulators) as served:
        yield served


@pytest.fixture(scope="module")
def caller(collector: Collector, providers: Providers, receiver: Receiver) -> Iterator[Caller]:
    """Yield the caller of a stack whose spans go to the collector."""
    values = providers.settings()
    values["allow_hosts"] += f" {receiver.host}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_url)
        patch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with running(routers="2", log_level="debug", **values) as stack:
            yield Caller(stack, stack.key)


@pytest.fixture
def trace() -> str:
    """Return the id of a trace that the caller has begun."""
    return secrets.token_hex(16)


def traced(trace: str) -> dict[str, str]:
    """Return the headers of a call of this trace."""
    return {"traceparent": f"00-{trace}-{'a' * 16}-01", "tracestate": "caller=1", "x-request-id": f"req-{trace}"}


def by_name(spans: list[ReceivedSpan]) -> dict[str, ReceivedSpan]:
    return {span.name: span for span in spans}


def assert_whole(spans: list[ReceivedSpan]) -> None:
    """Assert that each span is below another one of the trace or below the caller's."""
    known = {span.span_id for span in spans} | {"a" * 16}
    assert not [span for span in spans if span.parent_id not in known], spans
    assert {span.state for span in spans} == {"caller=1"}


def logged(stack: Stack, trace: str, event: str) -> list[dict[str, Any]]:
    """Return the log lines of a trace with this event."""
    return [line for line in stack.events() if line.get("trace_id") == trace and line["event"] == event]


def only(stack: Stack, trace: str, event: str) -> dict[str, Any]:
    """Return the only log line of a trace with this event."""
    eventually(lambda: bool(logged(stack, trace, event)), 10, f"{event} is logged")
    (line,) = logged(stack, trace, event)
    return line


def finished(stack: Stack, trace: str) -> dict[str, Any]:
    """Return the only line that says that the job of a trace has ended."""
    return only(stack, trace, "job_finished")


def test_generation_over_rest_is_one_trace_down_to_the_providers_request(
    caller: Caller, collector: Collector, providers: Providers, trace: str
) -> None:
    answer = caller.generate(traced(trace), model="openai/gpt-image-1", size="1024x1024", response_format="url")
    assert answer.status == 200, answer.body
    spans = collector.wait(
        trace, "Generate", "image.generation", "generate_content openai/gpt-image-1", "POST", "media.write"
    )
    assert_whole(spans)
    named = by_name(spans)
    call, job, post = named["Generate"], named["image.generation"], named["POST"]
    generation, write = named["generate_content openai/gpt-image-1"], named["media.write"]
    assert (call.parent_id, job.parent_id) == ("a" * 16, call.span_id)
    assert generation.parent_id == job.span_id
    assert {post.parent_id, write.parent_id} == {generation.span_id}
    assert [span.kind for span in (call, job, generation, post)] == ["SERVER", "INTERNAL", "CLIENT", "CLIENT"]
    assert [span.service for span in (call, job, generation, post)] == [ROUTER, ROUTER, PROVIDERS, PROVIDERS]
    job_id = answer.headers["x-job-id"]
    assert call.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "openai/gpt-image-1",
        "http.response.status_code": 200,
        "imagegateway.job.id": job_id,
        "imagegateway.request.id": f"req-{trace}",
        "imagegateway.tenant": "default",
    }
    assert generation.attributes["gen_ai.provider.name"] == "openai"
    assert generation.attributes["gen_ai.response.model"] == "gpt-image-1"
    assert generation.attributes["gen_ai.usage.output_tokens"] > 0
    base = urlsplit(providers["openai"].base)
    assert post.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": base.hostname,
        "server.port": base.port,
    }
    assert "traceparent" not in {name.lower() for name in providers["openai"].sent[-1].headers}
    line = finished(caller.stack, trace)
    assert (line["job_id"], line["request_id"], line["state"]) == (job_id, f"req-{trace}", "completed")
    assert (line["model"], line["provider"]) == ("openai/gpt-image-1", "openai")
    upstream = only(caller.stack, trace, "upstream_call_finished")
    assert (upstream["request_id"], upstream["job_id"]) == (f"req-{trace}", job_id)


def test_call_over_native_grpc_continues_the_callers_trace(caller: Caller, collector: Collector, trace: str) -> None:
    metadata = (*wire.metadata(caller), *traced(trace).items())
    with wire.public(caller) as stub:
        stub.Generate(wire.small(), metadata=metadata, timeout=wire.SECONDS)
    spans = collector.wait(trace, "Generate", "image.generation", "generate_content local/sketch", "media.write")
    assert_whole(spans)
    assert by_name(spans)["Generate"].attributes["rpc.response.status_code"] == "OK"


def test_call_over_grpc_web_continues_the_callers_trace(caller: Caller, collector: Collector, trace: str) -> None:
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **traced(trace)}
    empty = struct.pack(">BI", 0, 0)
    assert caller.ask("POST", "/imagegateway.v1.ImageService/ListModels", empty, headers).status == 200
    (call,) = collector.wait(trace, "ListModels")
    assert (call.parent_id, call.attributes["rpc.response.status_code"]) == ("a" * 16, "OK")


def test_edit_by_form_is_one_trace(caller: Caller, collector: Collector, trace: str) -> None:
    body = form(file_part("image", image_bytes()), prompt="at night", model="local/sketch")
    answer = caller.ask("POST", EDITS, body, {**FORM, **traced(trace)})
    assert answer.status == 200, answer.body
    spans = collector.wait(trace, "EditMultipart", "image.edit", "generate_content local/sketch")
    assert_whole(spans)
    named = by_name(spans)
    assert named["image.edit"].parent_id == named["EditMultipart"].span_id


def test_slow_provider_and_webhook_stay_in_the_trace(
    caller: Caller, collector: Collector, receiver: Receiver, trace: str
) -> None:
    hook = receiver.hook(f"/{trace}")
    job_id = caller.submit(headers=traced(trace), model="bfl/flux-2-pro", size="1024x1024", webhook_url=hook)
    assert caller.end(job_id)["status"] == "completed"
    spans = collector.wait(trace, "Generate", "image.generation", "poll bfl/flux-2-pro", "media.write", "webhook")
    assert_whole(spans)
    named = by_name(spans)
    job = named["image.generation"]
    assert named["webhook"].parent_id == named["poll bfl/flux-2-pro"].parent_id == job.span_id
    (delivery,) = receiver.on(f"/{trace}")
    assert delivery.headers["traceparent"] == f"00-{trace}-{named['webhook'].span_id}-01"
    sent = only(caller.stack, trace, "webhook_sent")
    assert (sent["job_id"], sent["request_id"]) == (job_id, f"req-{trace}")


def test_job_of_a_killed_router_is_one_trace(caller: Caller, collector: Collector, trace: str) -> None:
    metadata = (*wire.metadata(caller, prefer="respond-async"), *traced(trace).items())
    request = wire.small(provider_options={"delay": 12})
    with wire.router(caller, 0) as stub:
        job_id = stub.Generate(request, metadata=metadata, timeout=wire.SECONDS).id
    collector.wait(trace, "Generate", "generate_content local/sketch")
    wait_back(caller.stack, "router-0", kill(caller.stack, "router-0"))
    assert caller.end(job_id)["status"] == "completed"
    spans = collector.wait(trace, "image.generation", "take_over", "media.write", seconds=TAKEOVER_SECONDS)
    assert_whole(spans)
    named = by_name(spans)
    job = named["image.generation"]
    assert job.parent_id == named["Generate"].span_id
    assert {named[name].parent_id for name in ("take_over", "poll local/sketch")} == {job.span_id}
    assert named["media.write"].parent_id in {span.span_id for span in spans if span.name == "poll local/sketch"}
    assert finished(caller.stack, trace)["job_id"] == job_id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_end_without_an_image_is_on_the_span_and_one_line(
    caller: Caller, collector: Collector, trace: str, end: str
) -> None:
    options = {"fail": "provider_error"} if end == "failed" else {"delay": 60}
    job_id = caller.submit(headers=traced(trace), provider_options=options)
    if end == "cancelled":
        caller.until(job_id, "running")
        caller.ask("POST", f"/v1/jobs/{job_id}/cancel")
    job = by_name(collector.wait(trace, "image.generation"))["image.generation"]
    assert job.attributes["imagegateway.job.state"] == end
    assert job.is_error is (end == "failed")
    line = finished(caller.stack, trace)
    assert (line["state"], line["request_id"]) == (end, f"req-{trace}")
    assert line["reason"] == job.attributes.get("error.type")


def test_call_without_a_trace_begins_one(caller: Caller) -> None:
    request_id = f"req-{secrets.token_hex(8)}"
    caller.generate({"x-request-id": request_id})
    wanted = {"job_finished", "request_finished", "task_started"}
    eventually(
        lambda: wanted <= {line["event"] for line in caller.stack.of_request(request_id)}, 10, "the call is logged"
    )
    lines = caller.stack.of_request(request_id)
    assert len({line["trace_id"] for line in lines}) == 1, lines
    assert len({line["job_id"] for line in lines}) == 1


def test_no_prompt_key_pixel_or_signature_is_in_a_span(
    caller: Caller, collector: Collector, providers: Providers, trace: str
) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    byok = f"byok{secrets.token_hex(8)}"
    image = inputs.data_url(image_bytes(70, 70))
    headers = traced(trace)
    fields = {"prompt": canary, "negative_prompt": canary, "user": canary, "metadata": {"canary": canary}}
    answer = caller.ask("POST", EDITS, {**fields, "model": "local/sketch", "image_url": image}, headers)
    assert answer.status == 200, answer.body
    path = rest.link(caller.stack, answer.json()["data"][0]["url"])
    caller.ask("GET", path, headers=headers)
    caller.generate({**headers, "x-byok-openai": byok}, **fields, model="openai/gpt-image-1", size="1024x1024")
    caller.ask("POST", GENERATIONS, {"prompt": canary, canary: canary}, {**headers, **ASYNC})
    caller.ask("GET", f"/v1/jobs/{canary}", headers=headers)
    collector.wait(
        trace,
        "Edit",
        "Generate",
        "GetJob",
        "GET /media/{day}/{result}/{name}",
        "POST",
        "generate_content openai/gpt-image-1",
    )
    (signature,) = parse_qs(urlsplit(path).query)["sig"]
    exported = b"".join(request.SerializeToString() for request in collector.requests)
    keys = [caller.key, byok, *(emulator.key for emulator in providers.by_route.values())]
    for text in (canary, image[-40:], signature, *keys):
        assert text.encode() not in exported
    log = "\n".join(caller.stack.log_lines())
    for text in (canary, byok, signature):
        assert text not in log


def test_image_of_an_agent_is_one_trace(caller: Caller, collector: Collector, trace: str) -> None:
    tool = {"name": "generate_image", "arguments": {"prompt": "a kite", "model": "local/sketch", "size": "64x64"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool}
    answer = caller.ask("POST", "/mcp", call, {"accept": "application/json, text/event-stream", **traced(trace)})
    assert answer.status == 200, answer.body
    spans = collector.wait(trace, "POST /mcp", "Generate", "image.generation", "generate_content local/sketch")
    assert_whole(spans)
    named = by_name(spans)
    assert named["Generate"].parent_id == named["POST /mcp"].span_id
