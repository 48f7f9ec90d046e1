"""Router replicas in the test's process: the whole engine over a real NATS server, with scripted providers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict
from imagegateway.jobs import states
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.limits import Limits
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import Supervisor
from imagegateway.v1.job_pb2 import Cost, Job

from tests.jobs.server import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.pricing import Price
    from imagegateway.jobs.route_fallback import Fallback
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.scripted_providers import ScriptedProviders

ROOT = "root secret of the tests"
NO_BUDGETS = BudgetPolicy()


def _view(record: JobRecord) -> Job:
    return Job(id=record.id, object="job", status=states.PUBLIC[record.state], model=record.task.model)


def _price(_task: provider.ImageTask, done: provider.Done) -> Cost | None:
    cost = Cost()
    ParseDict({"amount": len(done.artifacts)}, cost, ignore_unknown_fields=True)
    return cost


@dataclass(slots=True)
class Replica:
    """One incarnation of a router replica."""

    engine: JobEngine
    client: Client
    providers: ScriptedProviders
    store: MediaStore
    _outbound: Outbound
    _supervisor: Supervisor
    _over: bool = field(default=False)

    @property
    def stream(self) -> JobStream:
        return self.engine.stream

    async def submit(self, record: JobRecord) -> Entry:
        return await self.engine.execution.submission.submit(record)

    async def ended(self, job_id: str) -> Entry:
        """Wait for the job's end in this replica's feed. Return the job."""
        entry = await self.engine.feed.ended(job_id, PATIENCE)
        assert entry is not None, "the job does not end"
        return entry

    async def reached(self, job_id: str, wanted: Callable[[Entry], bool]) -> Entry:
        entry = await self.engine.feed.when(job_id, wanted, PATIENCE)
        assert entry is not None, "the job does not get there"
        return entry

    async def held_nothing(self) -> None:
        """Wait until no job is live, queued or holds slots."""
        await self.engine.feed.catch_up()
        await until(lambda: not self.engine.feed.live and self.engine.execution.admission.idle)

    async def stop(self, grace: float = PATIENCE) -> None:
        """Stop as on SIGTERM."""
        if not self._over:
            self._over = True
            await self.engine.drain(grace)
            await self.engine.close()
            await self.client.close()
            await self._outbound.aclose()

    async def crash(self) -> None:
        """End all tasks as `kill -9` does: no write, and no message to other replicas."""
        if self._over:
            return
        self._over = True
        engine = self.engine
        await self._supervisor.close()
        await engine.execution.tasks.cancel()
        await engine.webhooks.close()
        await engine.budgets.close()
        await engine.index.close()
        await engine.usage.close()
        await self.client.close()
        await self._outbound.aclose()


def nowhere(_task: provider.ImageTask, _avoid: Callable[[str], bool], _stored: Collection[str]) -> None:
    """Return None: only one route exists."""


async def start(
    settings: Settings,
    providers: ScriptedProviders,
    number: int = 0,
    routes: tuple[str, ...] = ("local",),
    fallback: Fallback = nowhere,
    *,
    price: Price = _price,
    clock: Callable[[], int] = unix_millis,
    job_limits: Mapping[str, int] = MappingProxyType({}),
    budget_policy: BudgetPolicy = NO_BUDGETS,
) -> Replica:
    """Start a replica; one that had the number before is taken for dead.

    `job_limits`: concurrent jobs of tenants and API keys by name and id.
    """
    client = await connect(settings, f"router-{number}")
    store = MediaStore.open(settings.media_url)
    outbound = Outbound.open(settings)
    supervisor = Supervisor()
    engine = await JobEngine.open(
        settings=settings,
        client=client,
        replica=number,
        root=RootSecret(ROOT),
        store=store,
        provider_client=providers,
        outbound=outbound,
        limits=Limits(
            routes={route: settings.route_concurrency(route, None) for route in routes},
            default=settings.concurrency,
            tenant=settings.tenant_concurrency,
            tenant_jobs=job_limits.get,
            api_key_jobs=job_limits.get,
        ),
        budget_policy=budget_policy,
        price=price,
        fallback=fallback,
        view=_view,
        supervisor=supervisor,
        outage=asyncio.Event(),
        clock=clock,
    )
    await engine.start()
    return Replica(engine, client, providers, store, outbound, supervisor)


@asynccontextmanager
async def serving(
    settings: Settings,
    providers: ScriptedProviders,
    number: int = 0,
    routes: tuple[str, ...] = ("local",),
    fallback: Fallback = nowhere,
    *,
    price: Price = _price,
    clock: Callable[[], int] = unix_millis,
    job_limits: Mapping[str, int] = MappingProxyType({}),
    budget_policy: BudgetPolicy = NO_BUDGETS,
) -> AsyncIterator[Replica]:
    """Yield a replica and stop it afterwards, unless it has crashed."""
    replica = await start(
        settings,
        providers,
        number,
        routes,
        fallback,
        price=price,
        clock=clock,
        job_limits=job_limits,
        budget_policy=budget_policy,
    )
    try:
        yield replica
    finally:
        await replica.crash()
