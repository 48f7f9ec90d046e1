"""Metrics of a whole stack after known traffic over all protocols, read as Prometheus reads them."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from tests.gateway import rest
from tests.gateway.inputs import FORM, data_url, file_part, form, image_bytes, mask
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import Caller
from tests.gateway.rest import EDITS
from tests.gateway.test_streams import events
from tests.support.metrics import Scrape, Traffic
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.support.metrics import Series
    from tests.support.stack import Stack

REQUESTS: Final = ("operation", "model", "status", "reason")
MONITORING: Final = Path(__file__).parents[2] / "deploy" / "monitoring"
_METRIC: Final = re.compile(r"\b(?:imagegateway|envoy|process|python)_\w+")


def page_of(stack: Stack) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.values['metrics_port']}/metrics", timeout=20) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text: str = answer.read().decode()
        return text


def scraped(stack: Stack) -> Scrape:
    return Scrape.parse(page_of(stack))


def traffic_of(stack: Stack) -> Traffic:
    return Traffic(lambda: scraped(stack))


def test_each_call_and_each_job_counts_once(stack: Stack) -> None:
    caller = Caller(stack, stack.key)
    image = image_bytes()
    traffic = traffic_of(stack)

    assert caller.generate(n=2).status == 200
    assert caller.generate({"prefer": "dry-run"}).status == 200
    assert caller.generate(provider_options={"fail": "provider_error"}).status == 502
    assert caller.generate(n=99).status == 400
    assert caller.generate(model="acme/none").status == 404
    assert len(events(caller.generate(stream=True, partial_images=1))) == 2
    accepted = caller.submit(0.5)
    cancelled = caller.submit(60)
    assert caller.cancel(cancelled)["status"] == "cancelled"
    edited = form(file_part("image", image), model="local/sketch", prompt="a red kite")
    assert caller.ask("POST", EDITS, edited, FORM).status == 200
    inputs = {"image_url": data_url(image), "mask_url": data_url(mask())}
    assert caller.ask("POST", EDITS, {"model": "local/sketch", "prompt": "a kite", **inputs}).status == 200
    assert Caller(stack, "unknown").generate().status == 401  # by Envoy alone
    with wire.public(caller) as stub:
        assert len(stub.Generate(wire.small(), metadata=wire.metadata(caller), timeout=60).data) == 1
        assert wire.submit(stub, caller)
        with pytest.raises(grpc.RpcError):
            stub.Generate(wire.small(n=99), metadata=wire.metadata(caller), timeout=60)
    caller.ask("GET", f"/v1/jobs/{accepted}/events")
    traffic.wait_quiet()

    sketch = "local/sketch"
    requests: Series = {
        ("Generate", sketch, "200", ""): 4,
        ("Generate", sketch, "202", ""): 3,
        ("Generate", sketch, "400", "invalid_value"): 2,
        ("Generate", sketch, "502", "provider_error"): 1,
        ("Generate", "unknown", "404", "model_not_found"): 1,
        ("Edit", sketch, "200", ""): 2,
        ("CancelJob", "unknown", "200", ""): 1,
        ("StreamJob", "unknown", "200", ""): 1,
    }
    traffic.assert_added(requests, "imagegateway_requests_total", *REQUESTS)
    assert sum(traffic.added("imagegateway_request_duration_seconds_count", "operation").values()) == 15
    ends: Series = {("completed", ""): 7, ("failed", "provider_error"): 1, ("cancelled", ""): 1}
    traffic.assert_added(ends, "imagegateway_jobs_finished_total", "state", "reason")
    traffic.assert_added({(state,): count for (state, _), count in ends.items()}, "imagegateway_jobs", "state")
    traffic.assert_added({(sketch, "local"): 8}, "imagegateway_images_total", "model", "provider")
    traffic.assert_added({("local",): 9}, "imagegateway_job_queue_seconds_count", "provider")
    calls: Series = {("local", "completed"): 7, ("local", "provider_error"): 1, ("local", "cancelled"): 1}
    traffic.assert_added(calls, "imagegateway_provider_call_duration_seconds_count", "provider", "outcome")
    assert traffic.added("imagegateway_input_bytes_total", "model")[(sketch,)] > 2 * len(image)


def test_caller_that_leaves_counts_once_and_so_does_its_job(stack: Stack) -> None:
    caller = Caller(stack, stack.key)
    traffic = traffic_of(stack)
    with wire.public(caller) as stub:
        call = stub.Generate.future(wire.small(provider_options={"delay": 5}), metadata=wire.metadata(caller))
        eventually(lambda: not traffic.is_quiet(), 30, "the job runs")
        call.cancel()
    left = ("Generate", "local/sketch", "499", "")
    traffic.wait_quiet()
    traffic.assert_added({("completed",): 1}, "imagegateway_jobs_finished_total", "state")
    calls = traffic.added("imagegateway_requests_total", *REQUESTS)
    assert {labels: count for labels, count in calls.items() if labels[0] == "Generate"} == {left: 1}


def test_page_is_not_public(stack: Stack) -> None:
    rest.assert_error(rest.ask(stack, "GET", "/metrics"), 404, "unknown_url")


def test_callers_choose_no_label(stack: Stack) -> None:
    caller = Caller(stack, stack.key)

    def hostile(word: str) -> None:
        caller.generate({"prefer": word, "user-agent": word, "x-byok-bfl": word}, model=word, user=word)
        caller.ask("GET", f"/v1/{word}")
        caller.ask("GET", f"/v1/jobs/{word}")
        caller.ask("GET", f"/v1/models/{word}")
        caller.ask("POST", EDITS, {"model": word, "prompt": word})

    labels = ("operation", "model", "provider", "status", "reason")

    def series() -> Series:
        return scraped(stack).totals("imagegateway_requests_total", *labels)

    count = sum(series().values())
    hostile("warm-up")
    eventually(lambda: sum(series().values()) >= count + 4, 20, "the calls are counted")
    before = series()
    words = [f"hostile-{number}" for number in range(5)]
    for word in words:
        hostile(word)
    page = page_of(stack)
    assert not any(word in page for word in words)
    assert Scrape.parse(page).totals("imagegateway_requests_total", *labels).keys() == before.keys()


def test_page_has_one_header_for_each_metric_and_all_processes(stack: Stack) -> None:
    text = page_of(stack)
    headers = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(headers) == len(set(headers))
    page = Scrape.parse(text)
    names = {"providers", "media", "router-0", "router-1", "envoy"}
    assert page.totals("imagegateway_process_up", "process") == {(name,): 1 for name in names}
    assert page.totals("imagegateway_build_info", "process").keys() == {(name,) for name in names - {"envoy"}}
    assert {sample.labels["process"] for family in page.families for sample in family.samples} == names


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_shipped_rules_and_dashboard_name_metrics_that_exist(stack: Stack, file: str) -> None:
    Caller(stack, stack.key).generate()
    page = scraped(stack)
    known = page.names() | {family.name for family in page.families}
    known |= {f"{family.name}_{part}" for family in page.families for part in ("total", "bucket", "count", "sum")}
    known |= {label for family in page.families for sample in family.samples for label in sample.labels}
    used = set(_METRIC.findall((MONITORING / file).read_text()))
    assert used
    assert used <= known
