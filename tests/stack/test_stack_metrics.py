"""Metrics page of the whole stack: one header for each metric, a label for each process, bounded Envoy statistics."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.stack.stack_metrics import ENVOY_URL, StackMetrics, merge

from tests.jobs.server import settings_for
from tests.support.metrics import Scrape

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """\
# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{reason="a } b, \\"c\\""} 1.0
calls_total{reason=""} 2.0
# HELP lag_seconds Lag.
# TYPE lag_seconds gauge
lag_seconds 0.5
"""
ENVOY_PAGE = """\
# TYPE envoy_server_live gauge
envoy_server_live{} 1

# TYPE lag_seconds gauge
lag_seconds{} 7
"""


def test_merged_page_has_one_header_and_each_process_as_a_label() -> None:
    merged = merge({"router-0": PAGE, "router-1": PAGE, "envoy": ENVOY_PAGE, "media": None})
    for line in ("# HELP calls_total Calls.", "# TYPE calls_total counter", "# TYPE lag_seconds gauge"):
        assert merged.count(line) == 1
    page = Scrape.parse(merged)
    assert page.total("calls_total", process="router-1", reason='a } b, "c"') == 1
    assert page.total("calls_total") == 6
    lags = {sample.labels["process"]: sample.value for sample in page.samples("lag_seconds")}
    assert lags == {"router-0": 0.5, "router-1": 0.5, "envoy": 7}
    assert page.total("envoy_server_live", process="envoy") == 1


def test_samples_of_a_metric_stand_together() -> None:
    lines = merge({"a": PAGE, "b": PAGE}).splitlines()
    families = [line.split("{")[0] for line in lines if not line.startswith("#")]
    assert families == sorted(families, key=families.index)


def test_process_that_does_not_answer_is_down() -> None:
    page = Scrape.parse(merge({"router-0": PAGE, "media": None}))
    assert page.total("imagegateway_process_up", process="router-0") == 1
    assert [sample.value for sample in page.samples("imagegateway_process_up", process="media")] == [0]


async def test_page_reads_side_servers_and_envoy(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, ROUTERS="1")
    asked: list[str] = []

    def application(path: str, page: str, status: int = 200) -> web.Application:
        async def serve(request: web.Request) -> web.Response:
            asked.append(request.raw_path)
            return web.Response(text=page, status=status)

        app = web.Application()
        app.router.add_get(path, serve)
        return app

    sides = {
        "router-0-side": application("/metrics", PAGE),
        "media-side": application("/metrics", "broken", status=500),
        "envoy-admin": application("/stats/prometheus", ENVOY_PAGE),
    }
    async with AsyncExitStack() as held:
        for name, app in sides.items():
            await held.enter_async_context(listening(app, Listener.unix(settings.socket(name)), 0))
        response = await StackMetrics(settings).page()
    assert (response.status, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    page = Scrape.parse(response.body.decode())
    up = {sample.labels["process"]: sample.value for sample in page.samples("imagegateway_process_up")}
    assert up == {"router-0": 1, "media": 0, "providers": 0, "envoy": 1}
    assert sorted(asked) == ["/metrics", "/metrics", ENVOY_URL]
