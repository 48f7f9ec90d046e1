"""Router replica without servers, in a separate process: `python -m bench.replica MODE`.

One JSON line on the input has the parameters, one JSON line on the output the measurements. Settings come from the
environment, as a router's do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvloop
from google.protobuf.duration_pb2 import Duration
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states, transitions
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.jobs.retention import RetentionPolicies
from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.policy import MAX_RATE, Quota
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenancy import Tenancy
from imagegateway.keys.tenants import TenantStore
from imagegateway.media.signed_links import LinkSigner
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.platform import ids, settings
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import Supervisor
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.router import call_context
from imagegateway.router.call_limiter import CallLimiter
from imagegateway.router.catalog import Catalog
from imagegateway.router.composition import compose_operations
from imagegateway.router.response_memory import ResponseMemory
from imagegateway.router.responses import ResponseBuilder
from imagegateway.v1 import image_service_pb2 as pb

from bench import usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from imagegateway.router.call_context import Call
    from imagegateway.router.composition import Operations

_AT_ONCE: Final = 32
_CALLERS: Final = 16
_POLL_SECONDS: Final = 0.1
_PATIENCE: Final = 120.0
_REFUSED_SECONDS: Final = 0.01
"""Pause of a caller after a refused call."""
_LIMITS: Final = Quota(requests_per_minute=MAX_RATE, images_per_minute=MAX_RATE)
"""Limits that no call reaches."""
_LIMITED_TENANT: Final = "bench-limited"


class _Scripted(ProviderClient):
    """Provider client without a server. With `works`, tasks run and then end; else calls never return."""

    def __init__(self, *, works: bool) -> None:
        self._works = works
        self.done: dict[str, float] = {}
        """Time of each job's end, by the machine's monotonic clock."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def start(
        self, family: str, request: provider.StartRequest, metadata: Sequence[tuple[str, str]] = ()
    ) -> AsyncGenerator[provider.TaskState, None]:
        if not self._works:
            await asyncio.get_running_loop().create_future()
        pause = Duration()
        pause.FromMilliseconds(round(1000 * _POLL_SECONDS))
        yield provider.TaskState(running=provider.Running(task_ref="bench", poll_after=pause))

    async def poll(
        self, family: str, request: provider.PollRequest, metadata: Sequence[tuple[str, str]] = ()
    ) -> provider.TaskState | None:
        media = provider.MediaRef(key="results/bench", sha256="0" * 64, media_type="image/png", width=1, height=1)
        self.done[request.job_id] = time.monotonic()
        return provider.TaskState(done=provider.Done(artifacts=[provider.Artifact(media=media)]))


@dataclass(frozen=True, slots=True)
class _Replica:
    """Parts of a router replica that the benchmarks call."""

    engine: JobEngine
    catalog: Catalog
    responses: ResponseBuilder
    operations: Operations
    limiter: CallLimiter


@asynccontextmanager
async def _replica(number: int, families: ProviderClient) -> AsyncIterator[_Replica]:
    """Run a router replica without its servers."""
    current = settings.current()
    client = await connect(current, f"router-{number}")
    outbound = Outbound.open(current)
    root = RootSecret.load(current)
    store = MediaStore.open(current.media_url)
    memory = ResponseMemory(current.answer_memory * 1024**2)
    responses = ResponseBuilder(store, LinkSigner(root, current.public_url), time.time, memory)
    catalog = Catalog.load(current.source)
    outage = asyncio.Event()
    engine = await JobEngine.open(
        settings=current,
        client=client,
        replica=number,
        root=root,
        store=store,
        provider_client=families,
        outbound=outbound,
        limits=catalog.limits(current),
        budget_policy=BudgetPolicy(),
        price=catalog.price,
        fallback=catalog.fallback,
        view=responses.job,
        supervisor=Supervisor(),
        outage=outage,
    )
    supervisor = Supervisor()
    tenants = await TenantStore.open(client, current.nats_replicas)
    await tenants.update(_LIMITED_TENANT, lambda policy: replace(policy, quota=_LIMITS))
    await KeyStore.open(client, current.nats_replicas, root)  # makes the bucket that the key ring follows
    tenancy = await Tenancy.open(client, current.nats_replicas, root, outage)
    await tenancy.start(supervisor)
    await engine.start()
    limiter = CallLimiter(tenancy.rates)
    operations = compose_operations(
        settings=current,
        engine=engine,
        catalog=catalog,
        provider_keys=tenancy.provider_keys,
        responses=responses,
        limiter=limiter,
        store=store,
        outbound=outbound,
        retention=RetentionPolicies(current, tenancy.tenants.policy),
    )
    try:
        yield _Replica(engine, catalog, responses, operations, limiter)
    finally:
        await supervisor.close()
        await engine.close()
        await asyncio.gather(families.close(), outbound.aclose(), client.close())


def _record(job_id: str) -> JobRecord:
    now = unix_millis()
    return JobRecord(
        id=job_id,
        tenant="bench",
        type="image.generation",
        modality="image",
        family="local",
        task=provider.ImageTask(model="local/sketch", route="local", prompt="a lighthouse at dusk", n=1),
        created_at=now,
        deadline=now + 3_600_000,
    )


async def _many(at_once: int, seconds: float, work: Callable[[], Awaitable[object]]) -> list[float]:
    """Repeat `work` in `at_once` concurrent loops for `seconds`. Return the duration of each repeat in seconds."""
    took: list[float] = []
    until = time.monotonic() + seconds

    async def one() -> None:
        while (began := time.monotonic()) < until:
            await work()
            took.append(time.monotonic() - began)

    await asyncio.gather(*(one() for _ in range(at_once)))
    return took


async def submits(order: dict[str, Any]) -> dict[str, Any]:
    """Measure durable submissions: each is one record on disk. No provider answers."""
    async with _replica(0, _Scripted(works=False)) as replica:
        began = time.monotonic()
        took = await _many(
            _AT_ONCE, order["seconds"], lambda: replica.engine.execution.submission.submit(_record(ids.job()))
        )
        return {"took": took, "seconds": time.monotonic() - began}


async def work(order: dict[str, Any]) -> dict[str, Any]:
    """Submit jobs at a steady rate. Return the seconds until each one runs, and the times of the ends."""
    families = _Scripted(works=True)
    async with _replica(0, families) as replica:
        engine = replica.engine
        began: dict[str, float] = {}
        running: dict[str, float] = {}

        def seen(entry: Any) -> None:
            if entry.record.state == states.RUNNING:
                running.setdefault(entry.record.id, time.monotonic())

        engine.feed.add_listener(seen)
        waits = []
        start = time.monotonic()
        for number, job_id in enumerate(order["jobs"]):
            await asyncio.sleep(start + number / order["rate"] - time.monotonic())
            began[job_id] = time.monotonic()
            await engine.execution.submission.submit(_record(job_id))
            waits.append(asyncio.create_task(engine.feed.ended(job_id, _PATIENCE)))
        await asyncio.gather(*waits)
        return {"running": [running[job_id] - began[job_id] for job_id in order["jobs"]], "done": families.done}


async def follow(order: dict[str, Any]) -> dict[str, Any]:
    """Subscribe to the jobs of another replica. Return the times at which their ends arrive."""
    async with _replica(1, _Scripted(works=False)) as replica:
        seen: dict[str, float] = {}

        async def one(job_id: str) -> None:
            with replica.engine.feed.subscribe(job_id) as subscription:
                while (entry := await subscription.next(_PATIENCE)) is not None:
                    if entry.ended:
                        seen[job_id] = time.monotonic()
                        return

        following = [asyncio.create_task(one(job_id)) for job_id in order["jobs"]]
        await asyncio.sleep(0.1)
        print("ready", flush=True)
        await asyncio.gather(*following)
        return {"seen": seen}


async def inline(order: dict[str, Any]) -> dict[str, Any]:
    """Alternate inline calls without and with job records, and those with rate limits of the key and of its tenant.

    Return CPU time by role and calls of each window.
    """
    families = ProviderClient(settings.current(), ["local"])
    async with _replica(0, families) as replica:
        operations = replica.operations
        request = pb.GenerateRequest(model="local/sketch", prompt="a lighthouse at dusk", size="1024x1024")

        keys = {
            "unlimited": ApiKey(id="bench", tenant="bench", name="", created_at=0),
            "limited": ApiKey(id="limited", tenant="bench", name="", created_at=0, quota=_LIMITS),
            "limited_twice": ApiKey(id="limited2", tenant=_LIMITED_TENANT, name="", created_at=0, quota=_LIMITS),
        }

        async def begin(key: ApiKey) -> Call:
            call = call_context.begin("Generate", {}, rest=False)
            call.key = key
            await replica.limiter.set_headers(call.headers, key)
            return call

        async def recorded(key: str) -> None:
            call = await begin(keys[key])
            await operations.images.run(operations.planner.plan_generation(request, call), call)

        async def direct() -> None:
            call = await begin(keys["unlimited"])
            plan = operations.planner.plan_generation(request, call)
            record = operations.submission.new_record(plan, call)
            transitions.mark_submitting(record)
            state = await anext(families.start("local", provider.StartRequest(job_id=record.id, task=record.task)))
            transitions.mark_completed(record, state.done, replica.catalog.price(record.task, state.done))
            await replica.responses.images(record, call, b64_json=False)

        paths: dict[str, Callable[[], Awaitable[None]]] = {
            "direct": direct,
            "recorded": partial(recorded, "unlimited"),
            "limited": partial(recorded, "limited"),
            "limited_twice": partial(recorded, "limited_twice"),
        }
        windows: list[dict[str, Any]] = []
        for path in paths.values():
            await _many(_CALLERS, 0.5, path)
        for number in range(order["rounds"]):
            for name, path in paths.items() if number % 2 == 0 else reversed(paths.items()):
                before = usage.Usage.of(order["root"])
                took = await _many(_CALLERS, order["seconds"], path)
                used = usage.Usage.of(order["root"]).since(before)
                windows.append({"path": name, "calls": len(took), "used": used})
        return {"windows": windows}


async def rates(order: dict[str, Any]) -> dict[str, Any]:
    """Make calls of one key as fast as its rate limit admits. Return the number of admitted and of refused calls."""
    async with _replica(order["replica"], _Scripted(works=False)) as replica:
        key = ApiKey(id="rates", tenant="bench", name="", created_at=0, quota=Quota(order["limit"]))
        admitted = 0

        async def call() -> None:
            nonlocal admitted
            try:
                async with replica.limiter.hold({}, key, images=1):
                    admitted += 1
            except GatewayError:
                await asyncio.sleep(_REFUSED_SECONDS)

        print("ready", flush=True)
        calls = await _many(_CALLERS, order["seconds"], call)
        return {"admitted": admitted, "refused": len(calls) - admitted}


async def _main(mode: str) -> None:
    order = json.loads(sys.stdin.readline())
    modes = {"submits": submits, "work": work, "follow": follow, "inline": inline, "rates": rates}
    print(json.dumps(await modes[mode](order)), flush=True)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    uvloop.run(_main(sys.argv[1]))
