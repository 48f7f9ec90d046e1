"""Gauges of a replica, as a scrape shows them: jobs, circuit breakers, NATS, lag of the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.jobs import job_gauges
from imagegateway.platform import metrics
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.scripted_providers import PendingCall
from tests.jobs.server import until
from tests.support.metrics import scrape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

FINISHED: Final = "imagegateway_jobs_finished_total"
SKETCH: Final = "local/sketch"
UNAVAILABLE: Final = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE)
FAILED: Final = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_ERROR)
LAGGING: Final = 2.5
"""Lag in seconds that a feed with a connection never has."""


@pytest.fixture
def _shown_gauges(replica: Replica) -> Iterator[None]:
    """Show the gauges of the replica."""
    with job_gauges.gauges(replica.engine):
        yield


@pytest.mark.usefixtures("_shown_gauges")
async def test_gauges_show_this_replicas_jobs(replica: Replica, providers: ScriptedProviders) -> None:
    ended = await replica.submit(records.job())
    await replica.ended(ended.record.id)
    completed = scrape().total(FINISHED, state="completed")
    providers.on_start = call = PendingCall()
    for _ in range(3):
        await replica.submit(records.job())
    await call.begun.wait()
    await metrics.exposition()
    page = scrape()
    assert {sample.labels["state"]: sample.value for sample in page.samples("imagegateway_jobs")} == {
        "queued": 2,
        "running": 1,
        "completed": completed,
        "failed": page.total(FINISHED, state="failed"),
        "cancelled": page.total(FINISHED, state="cancelled"),
    }
    assert page.total("imagegateway_nats_connected") == 1
    assert page.total("imagegateway_feed_lag_seconds") < 5
    call.answer(records.done())
    await replica.held_nothing()


@pytest.mark.usefixtures("_shown_gauges")
async def test_gauge_shows_open_circuit_breakers(replica: Replica) -> None:
    breakers = replica.engine.breakers
    for tenant in ("a", "b", "c"):
        breakers.record_failure(tenant, SKETCH, "local", UNAVAILABLE)
    breakers.record_failure("a", "other/model", "local", FAILED)
    await metrics.exposition()
    shown = scrape().samples("imagegateway_circuit_breaker_open")
    assert {sample.labels["model"]: sample.value for sample in shown} == {SKETCH: 1, "other/model": 0}
    breakers.record_success(SKETCH, "local")
    await metrics.exposition()
    assert [sample.labels["model"] for sample in scrape().samples("imagegateway_circuit_breaker_open")] == [
        "other/model"
    ]


@pytest.mark.usefixtures("_shown_gauges")
async def test_lost_nats_shows_in_connection_and_lag(replica: Replica, nats: Nats) -> None:
    entry = await replica.submit(records.job())
    await replica.ended(entry.record.id)
    nats.kill()
    await until(lambda: replica.engine.feed.lag() > LAGGING)
    await metrics.exposition()
    assert scrape().total("imagegateway_nats_connected") == 0
    assert scrape().total("imagegateway_feed_lag_seconds") > LAGGING
    nats.start()
    await until(lambda: replica.engine.feed.lag() < LAGGING)
    await until(lambda: replica.engine.stream.connected)
    await metrics.exposition()
    assert scrape().total("imagegateway_nats_connected") == 1
