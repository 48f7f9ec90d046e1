"""Concurrent jobs of an API key and of a tenant, counted over two replicas."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.server import Nats


class HeldProviders(ScriptedProviders):
    """Providers whose calls the test answers, by job."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, PendingCall] = {}
        self.on_start = self._begin

    async def _begin(self, request: provider.StartRequest) -> provider.TaskState:
        self.calls[request.job_id] = PendingCall()
        return await self.calls[request.job_id](request)

    def finish(self, record: JobRecord) -> None:
        self.calls[record.id].answer(records.done())


@asynccontextmanager
async def two_replicas(
    nats: Nats, providers: HeldProviders, limits: dict[str, int]
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Yield two replicas without a limit of their route."""
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    async with (
        serving(settings, providers, 0, job_limits=limits) as first,
        serving(settings, providers, 1, job_limits=limits) as second,
    ):
        yield first, second


async def state(replica: Replica, record: JobRecord) -> JobRecord.State.ValueType:
    await replica.engine.feed.catch_up()
    return replica.engine.feed.live[record.id].record.state


@pytest.mark.parametrize("limits", [{"k1": 1}, {"acme": 1}], ids=["key", "tenant"])
async def test_job_over_the_limit_waits_for_a_job_of_another_replica(nats: Nats, limits: dict[str, int]) -> None:
    providers = HeldProviders()
    async with two_replicas(nats, providers, limits) as (first, second):
        running, waiting, other = (
            records.job(key_id="k1"),
            records.job(key_id="k1"),
            records.job(key_id="k2", tenant="other"),
        )
        await first.submit(running)
        await second.engine.feed.catch_up()
        await second.submit(waiting)
        await second.submit(other)
        await until(lambda: {running.id, other.id} <= providers.calls.keys())
        assert await state(second, waiting) == states.QUEUED
        assert second.engine.execution.admission.position(waiting) == 0
        providers.finish(running)
        await until(lambda: waiting.id in providers.calls)
        providers.finish(waiting)
        providers.finish(other)
        for replica in (first, second):
            await replica.held_nothing()
    await providers.close()


async def test_raised_limit_starts_waiting_jobs(nats: Nats) -> None:
    providers, limits = HeldProviders(), {"k1": 1}
    async with two_replicas(nats, providers, limits) as (replica, _):
        jobs = [records.job(key_id="k1") for _ in range(3)]
        for job in jobs:
            await replica.submit(job)
        limits["k1"] = 2
        await replica.engine.execution.reconciler.reconcile()
        await until(lambda: len(providers.calls) == 2)
        assert await state(replica, jobs[2]) == states.QUEUED
        for job in jobs[:2]:
            providers.finish(job)
        await until(lambda: len(providers.calls) == 3)
        providers.finish(jobs[2])
        await replica.held_nothing()
    await providers.close()
