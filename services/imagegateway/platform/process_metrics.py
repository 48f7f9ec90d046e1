"""Metrics page of a process, and the metrics that every process has: build, resources, event loop."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.platform import metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

PATH: Final = "/metrics"
_SAMPLE_SECONDS: Final = 1.0


def add_metrics(app: web.Application) -> None:
    """Serve the metrics of this process at `/metrics`."""
    ProcessCollector(registry=metrics.REGISTRY)
    GCCollector(registry=metrics.REGISTRY)
    metrics.BUILD_INFO.labels(version("imagegateway"), platform.python_version()).set(1)
    app.router.add_get(PATH, _serve)


async def _serve(_request: web.Request) -> web.Response:
    return web.Response(body=await metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def sample_event_loop(clock: Callable[[], float] = time.monotonic) -> None:
    """Measure each second how late the event loop runs a timer, without end. `clock` returns seconds.

    Not the loop's own clock: that stands still during an iteration.
    """
    while True:
        due = clock() + _SAMPLE_SECONDS
        await asyncio.sleep(_SAMPLE_SECONDS)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, clock() - due))
