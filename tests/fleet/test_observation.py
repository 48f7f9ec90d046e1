"""Metrics and traces of a fleet, as an operator's servers read them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tests.fleet.load import PAID
from tests.fleet.part import READY_SECONDS
from tests.gateway.jobs import wire
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.fleet.fleet import Fleet
    from tests.support.collector import Collector, ReceivedSpan


def test_metrics_of_all_replicas_sum_up_to_the_calls(fleet: Fleet) -> None:
    calls = 9
    before = sums(fleet)
    for _ in range(calls):
        assert fleet.caller().generate(**PAID).status == 200
    wanted = {name: value + calls for name, value in before.items()}
    eventually(lambda: sums(fleet) == wanted, 20, f"{calls} more of each")


def test_each_part_has_a_page_and_health(fleet: Fleet) -> None:
    routers = fleet.of("router")
    for part in (part for kind in ("router", "providers", "media") for part in fleet.of(kind)):
        assert part.scrape().total("imagegateway_build_info") == 1
        assert part.status("/readyz") == part.status("/healthz") == part.status("/startupz") == 200
    for number, envoy in enumerate(fleet.of("envoy")):
        eventually(lambda: fleet.healthy("router", number) == len(routers), READY_SECONDS, "Envoy knows the routers")  # noqa: B023
        assert envoy.scrape().total("envoy_server_live") == 1
        assert envoy.status("/readyz") == envoy.status("/healthz") == 200
        assert envoy.status("/stats") == 404


def sums(fleet: Fleet) -> dict[str, float]:
    """Return the sums over the replicas of metrics that count a paid call once each."""
    pages = {kind: [part.scrape() for part in fleet.of(kind)] for kind in ("router", "providers", "media", "envoy")}
    assert all(page.names() for kind in pages.values() for page in kind)
    model = PAID["model"]

    def total(kind: str, name: str, **labels: str) -> float:
        return sum(page.total(name, **labels) for page in pages[kind])

    return {
        "requests": total("router", "imagegateway_requests_total", model=model, status="200"),
        "durations": total("router", "imagegateway_request_duration_seconds_count", model=model),
        "images": total("router", "imagegateway_images_total", model=model),
        "finished": total("router", "imagegateway_jobs_finished_total", model=model, state="completed"),
        "provider requests": total(
            "providers", "imagegateway_provider_request_duration_seconds_count", provider="openai"
        ),
        "public requests": total("envoy", "envoy_http_downstream_rq_total", envoy_http_conn_manager_prefix="public"),
    }


def test_trace_spans_two_hosts(fleet: Fleet, collector: Collector) -> None:
    for _ in range(20):  # a job's id chooses the provider server: two of three are on another host
        trace = secrets.token_hex(16)
        with fleet.direct("router-0") as stub:
            metadata = wire.metadata(fleet.caller(), traceparent=f"00-{trace}-{'a' * 16}-01")
            stub.Generate(wire.small(**PAID), metadata=metadata, timeout=wire.SECONDS)
        spans = collector.wait(
            trace, "Generate", "image.generation", f"generate_content {PAID['model']}", "POST", "media.write"
        )
        hosts = {span.name: host_of(fleet, span) for span in spans}
        known = {span.span_id for span in spans} | {"a" * 16}
        assert not [span for span in spans if span.parent_id not in known]
        assert hosts["Generate"] == hosts["image.generation"] == 0
        assert hosts["POST"] == hosts["media.write"]
        if hosts["POST"] != 0:
            return
    raise AssertionError("each job ran on one host")


def host_of(fleet: Fleet, span: ReceivedSpan) -> int:
    """Return the number of the host whose process made a span."""
    pid = int(span.instance.rpartition(":")[2])
    (found,) = [part for part in fleet.parts.values() if part.process and part.process.pid == pid]
    return fleet.hosts.index(found.host)
