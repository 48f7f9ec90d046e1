"""Metrics of every process, in Prometheus's data model: all names, labels and buckets.

Labels have few values: ids of the catalog, routes, error codes, and at most `MAX_TENANTS` tenants. The replica that
writes a job's transition counts it, so sums over all replicas are right, and a job that is taken over counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# One more series for each counter and histogram, which nothing reads.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE: Final = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
UNKNOWN: Final = "unknown"
"""Model or provider of a call that reached none."""
OTHER: Final = "other"
"""Tenant beyond the first `MAX_TENANTS`."""
MAX_TENANTS: Final = 100
"""Most tenants of a process that have their own series."""

LABELS: Final = {
    "operation": "Method of the API, the same over REST and gRPC: `Generate`, `Edit`, `GetJob`, … "
    "Of the media store: `write`, `read`, `delete`, `sweep`, `check`.",
    "model": "Id in the catalog, never an alias; `unknown` for a call that names none.",
    "provider": "Route in the catalog, such as `openai` or `cloudflare`; `unknown` for a call that chose none.",
    "next": "Route that the job continues on.",
    "tenant": f"Tenant. Each process names the first {MAX_TENANTS} that it counts, and all others `{OTHER}`.",
    "status": "HTTP status, the equivalent one for a gRPC call. `none`: the provider did not answer.",
    "reason": "[Code of the error](reasons.md), empty without one.",
    "state": "Status of the job as callers see it.",
    "outcome": "End of the attempt. The metric's meaning lists the values.",
    "version": "Version of the gateway.",
    "python": "Version of Python.",
}
"""Meaning of each label."""

_CALL_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds of calls: reads take milliseconds, images up to ten minutes."""
_JOB_BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21_600)
"""Seconds of jobs, which last up to the default deadline."""
_STORE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds of writes and reads nearby."""

REGISTRY: Final = CollectorRegistry()

# ---- calls, by routers

_CALL_LABELS: Final = ("operation", "model", "provider", "status", "reason")
REQUESTS: Final = Counter(
    "imagegateway_requests",
    "Calls of the API that have ended. A stream counts at its end.",
    _CALL_LABELS,
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = Histogram(
    "imagegateway_request_duration_seconds",
    "Duration of the calls of the API, up to the last byte.",
    _CALL_LABELS,
    buckets=_CALL_BUCKETS,
    registry=REGISTRY,
)
REFUSALS: Final = Counter(
    "imagegateway_refusals",
    "Calls refused by a limit: rate_limit_exceeded, budget_exceeded, price_unknown or overloaded.",
    ("reason", "tenant"),
    registry=REGISTRY,
)

# ---- jobs, by routers

JOBS: Final = Gauge(
    "imagegateway_jobs",
    "Jobs of the replica by present status: unfinished ones, and those that it has ended since its start.",
    ("state",),
    registry=None,
)
JOBS_FINISHED: Final = Counter(
    "imagegateway_jobs_finished", "Jobs that have ended.", ("state", "reason", "model", "provider"), registry=REGISTRY
)
JOBS_TAKEN_OVER: Final = Counter(
    "imagegateway_jobs_taken_over", "Jobs taken over from a replica that vanished.", ("provider",), registry=REGISTRY
)
QUEUE_SECONDS: Final = Histogram(
    "imagegateway_job_queue_seconds",
    "Time from a job's acceptance to its first provider call.",
    ("provider",),
    buckets=_JOB_BUCKETS,
    registry=REGISTRY,
)
JOB_SECONDS: Final = Histogram(
    "imagegateway_job_duration_seconds",
    "Time from a job's acceptance to its end.",
    ("provider", "state"),
    buckets=_JOB_BUCKETS,
    registry=REGISTRY,
)
PROVIDER_CALL_SECONDS: Final = Histogram(
    "imagegateway_provider_call_duration_seconds",
    "Time of a job at a provider, from the call to its result, polls included. Outcomes: completed, cancelled, "
    "fallback (another route continues), repeated, or the code of the error.",
    ("provider", "outcome"),
    buckets=_JOB_BUCKETS,
    registry=REGISTRY,
)
FALLBACKS: Final = Counter(
    "imagegateway_provider_fallbacks",
    "Jobs that continued on another route, because theirs did not accept them.",
    ("provider", "next"),
    registry=REGISTRY,
)
CIRCUIT_BREAKER_OPEN: Final = Gauge(
    "imagegateway_circuit_breaker_open",
    "1 while the replica's calls of a model avoid a route after failures, 0 once they try it again.",
    ("model", "provider"),
    registry=None,
)
IMAGES: Final = Counter("imagegateway_images", "Images made.", ("model", "provider"), registry=REGISTRY)
VIDEOS: Final = Counter("imagegateway_videos", "Videos made.", ("model", "provider"), registry=REGISTRY)
MEGAPIXELS: Final = Counter(
    "imagegateway_megapixels", "Megapixels of the images made.", ("model", "provider"), registry=REGISTRY
)
INPUT_BYTES: Final = Counter(
    "imagegateway_input_bytes",
    "Bytes of the input images of accepted jobs, masks included.",
    ("model",),
    registry=REGISTRY,
)
OUTPUT_BYTES: Final = Counter(
    "imagegateway_output_bytes", "Bytes of the images and videos made.", ("model", "provider"), registry=REGISTRY
)
COST: Final = Counter(
    "imagegateway_cost_usd",
    "Cost of the jobs in US dollars, estimates included where a provider reports none.",
    ("model", "tenant"),
    registry=REGISTRY,
)
WEBHOOK_ATTEMPTS: Final = Counter(
    "imagegateway_webhook_attempts",
    "Attempts to send a webhook: delivered, failed (another attempt follows), abandoned (the last attempt failed).",
    ("outcome",),
    registry=REGISTRY,
)

# ---- NATS, by routers

NATS_CONNECTED: Final = Gauge("imagegateway_nats_connected", "1 while the connection to NATS is open.", registry=None)
NATS_WRITE_SECONDS: Final = Histogram(
    "imagegateway_nats_write_duration_seconds",
    "Time of one write of a job's record. Outcomes: written, conflict (another writer won), refused, unanswered.",
    ("outcome",),
    buckets=_STORE_BUCKETS,
    registry=REGISTRY,
)
FEED_LAG_SECONDS: Final = Gauge(
    "imagegateway_feed_lag_seconds",
    "Age of the replica's view of all jobs: at most 2 s, and growing while NATS delivers nothing.",
    registry=None,
)

# ---- other servers, by the providers' processes; downloads by routers, too

PROVIDER_REQUEST_SECONDS: Final = Histogram(
    "imagegateway_provider_request_duration_seconds",
    "Time of one HTTP request to a provider: the call, a poll or a cancellation.",
    ("provider", "status"),
    buckets=_CALL_BUCKETS,
    registry=REGISTRY,
)
PROVIDER_RETRIES: Final = Counter(
    "imagegateway_provider_retries",
    "HTTP requests repeated because the provider did not accept them, by the reason of the first one.",
    ("provider", "reason"),
    registry=REGISTRY,
)

DOWNLOAD_SECONDS: Final = Histogram(
    "imagegateway_download_duration_seconds",
    "Time to download an input image or a result by its URL. Outcomes: done, refused (by the URL guard), failed.",
    ("outcome",),
    buckets=_CALL_BUCKETS,
    registry=REGISTRY,
)

# ---- every process

MEDIA_STORE_SECONDS: Final = Histogram(
    "imagegateway_media_store_duration_seconds",
    "Time of one operation of the media store. Outcomes: done, absent, failed.",
    ("operation", "outcome"),
    buckets=_STORE_BUCKETS,
    registry=REGISTRY,
)
EVENT_LOOP_LAG_SECONDS: Final = Histogram(
    "imagegateway_event_loop_lag_seconds",
    "Delay of a timer in the event loop, one each second: the time that other work has to wait.",
    buckets=_STORE_BUCKETS,
    registry=REGISTRY,
)
BUILD_INFO: Final = Gauge("imagegateway_build_info", "Always 1.", ("version", "python"), registry=REGISTRY)

# ---- recording


@lru_cache(maxsize=4096)
def request_metrics(operation: str, model: str, provider: str, status: str, reason: str) -> tuple[Counter, Histogram]:
    """Return the counter and the histogram of calls with these labels."""
    labels = (operation, model, provider, status, reason)
    return REQUESTS.labels(*labels), REQUEST_SECONDS.labels(*labels)


_tenants: set[str] = set()


def tenant_label(tenant: str) -> str:
    """Return the label of a tenant: its name for the first `MAX_TENANTS`, else `OTHER`."""
    if tenant not in _tenants:
        if len(_tenants) >= MAX_TENANTS:
            return OTHER
        _tenants.add(tenant)
    return tenant


# ---- exposition

_updates: list[Callable[[], None]] = []


@contextlib.contextmanager
def at_scrape(update: Callable[[], None], *gauges: Gauge) -> Iterator[None]:
    """Show gauges that only this process has within the context, and call `update` to set them before each scrape."""
    _updates.append(update)
    for gauge in gauges:
        REGISTRY.register(gauge)
    try:
        yield
    finally:
        _updates.remove(update)
        for gauge in gauges:
            REGISTRY.unregister(gauge)


async def exposition() -> bytes:
    """Return all metrics of this process in Prometheus's text format."""
    for update in _updates:
        update()
    # Thousands of series take some 100 ms, which would hold up the event loop.
    return await asyncio.to_thread(prometheus_client.generate_latest, REGISTRY)
