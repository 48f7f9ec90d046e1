"""Metrics page of a process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from imagegateway.platform import metrics, process_metrics
from prometheus_client import CollectorRegistry

from tests.support.metrics import Added, Scrape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    registry = CollectorRegistry()
    for metric in list(metrics.REGISTRY._collector_to_names):
        registry.register(metric)
    monkeypatch.setattr(metrics, "REGISTRY", registry)
    app = web.Application()
    process_metrics.add_metrics(app)
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def test_page_has_the_text_format_of_prometheus(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/metrics") as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = Scrape.parse(await answer.text())
    assert page.total("imagegateway_build_info") == 1
    assert page.total("process_resident_memory_bytes") > 1_000_000
    assert page.samples("python_gc_collections_total")
    assert not [name for name in page.names() if name.endswith("_created")]


async def test_late_timer_is_the_lag_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.2, 1.2, 2.2, 2.2, 2.9, 2.9])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    added = Added()
    with pytest.raises(asyncio.CancelledError):
        await process_metrics.sample_event_loop(lambda: next(times))
    assert added("imagegateway_event_loop_lag_seconds_count") == 3
    assert added("imagegateway_event_loop_lag_seconds_sum") == pytest.approx(0.2)
