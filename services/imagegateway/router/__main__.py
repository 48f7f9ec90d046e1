"""Router process: `python -m imagegateway.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.jobs import job_gauges
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.jobs.retention import RetentionPolicies
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.keys.adopted_key import AdoptedKey
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.policy import NO_LIMITS, Quota
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenancy import Tenancy
from imagegateway.media.signed_links import LinkSigner
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.platform import logs, settings
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.http_server import listening
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.internal_tls import InternalTls, Role
from imagegateway.platform.listener import Listener
from imagegateway.platform.nats import connect
from imagegateway.platform.process import run
from imagegateway.platform.secret_files import SecretWatch
from imagegateway.platform.side_server import add_readiness
from imagegateway.platform.supervision import BackgroundTaskError
from imagegateway.router import (
    image_service,
    provider_key_service,
    rest_services,
    usage_service,
    webhook_service,
)
from imagegateway.router.admin import services as admin
from imagegateway.router.admin.services import AdminStores, add_admin_services
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.call_limiter import CallLimiter
from imagegateway.router.catalog import Catalog
from imagegateway.router.composition import compose_operations
from imagegateway.router.file_service import RestFileService
from imagegateway.router.form_service import FormService
from imagegateway.router.image_service import ImageService
from imagegateway.router.interceptor import RequestInterceptor
from imagegateway.router.provider_key_service import ProviderKeyService
from imagegateway.router.response_memory import ResponseMemory
from imagegateway.router.responses import ResponseBuilder
from imagegateway.router.rest_services import RestEventService, RestImageService, RestProviderKeyService
from imagegateway.router.webhook_service import WebhookService
from imagegateway.v1 import (
    image_service_pb2_grpc,
    provider_key_service_pb2_grpc,
    rest_edge_pb2_grpc,
    webhook_service_pb2_grpc,
)

if TYPE_CHECKING:
    from aiohttp import web
    from imagegateway.keys.key_ring import KeyRing
    from imagegateway.platform.process import Process
    from imagegateway.platform.settings import Settings
    from imagegateway.router.composition import Operations
    from nats.aio.client import Client

GRACE: Final = 30.0
"""Seconds that running calls get to end, and after them the provider calls that they have started."""
LINGER: Final = 0.5
"""Longest time in seconds in which requests may still arrive on open connections after the stop."""
PATIENCE: Final = 10.0
"""Seconds that waiting calls get after the stop. Then they are answered with their jobs."""
CRASH_GRACE: Final = 2.0
"""Grace after a background task has failed, in seconds: the calls may wait in vain."""
_START_PAUSE: Final = 1.0
"""Seconds between two tries of a start."""
_CALLERS: Final = frozenset({Role.ENVOY})
_MIB: Final = 1024 * 1024
_log = logs.get(__name__)


async def main(process: Process, replica: int) -> None:
    """Serve until the process must stop. Raises BackgroundTaskError when a background task has failed.

    A start that NATS does not answer is repeated: a cluster without a leader drops requests.
    """
    while True:
        try:
            return await _serve(process, replica)
        except (nats.errors.Error, OutcomeUnknownError, UnavailableError) as error:
            if process.is_started:
                raise
            _log.warning("start_repeated", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_START_PAUSE)


async def _serve(process: Process, replica: int) -> None:
    """Serve until the process must stop; then let running calls end, and leave the jobs to other replicas.

    Raises BackgroundTaskError when a background task has failed, nats.errors.Error,
    OutcomeUnknownError or UnavailableError for a start without NATS.
    """
    current = settings.current()
    async with AsyncExitStack() as resources:
        client = await connect(current, f"router-{replica}")
        resources.push_async_callback(client.close)
        resources.push_async_callback(process.supervisor.close)
        root, outage = RootSecret.load(current), asyncio.Event()
        admin_stores = await AdminStores.open(client, current, root, outage)
        tenancy = await Tenancy.open(client, current.nats_replicas, root, outage)
        await _adopt_key(process, current, client, admin_stores, tenancy.ring)
        await tenancy.start(process.supervisor)
        ring, provider_keys, limiter = tenancy.ring, tenancy.provider_keys, CallLimiter(tenancy.rates)
        links = LinkSigner(root, current.public_url)
        store = MediaStore.open(current.media_url)
        responses = ResponseBuilder(store, links, time.time, ResponseMemory(current.answer_memory * _MIB))
        catalog = Catalog.of(current)
        outbound = Outbound.open(current)
        resources.push_async_callback(outbound.aclose)
        tls = InternalTls.open(current.internal, Role.ROUTER)
        provider_client = ProviderClient(current, {model.family for model in catalog.models.values()}, tls)
        resources.push_async_callback(provider_client.close)
        engine = await JobEngine.open(
            settings=current,
            client=client,
            replica=replica,
            root=root,
            store=store,
            provider_client=provider_client,
            outbound=outbound,
            limits=replace(
                catalog.limits(current),
                multi_tenant=ring.is_shared,
                tenant_jobs=tenancy.tenants.concurrent_jobs,
                api_key_jobs=ring.concurrent_jobs,
            ),
            budget_policy=_budget_policy(tenancy, current),
            price=catalog.price,
            fallback=catalog.fallback,
            view=responses.job,
            supervisor=process.supervisor,
            outage=outage,
        )
        resources.push_async_callback(engine.close)
        await process.supervisor.run(engine.start())
        resources.enter_context(job_gauges.gauges(engine))
        operations = compose_operations(
            settings=current,
            engine=engine,
            catalog=catalog,
            provider_keys=provider_keys,
            responses=responses,
            limiter=limiter,
            store=store,
            outbound=outbound,
            retention=RetentionPolicies(current, tenancy.tenants.policy),
        )
        budget = BodyBudget(current.body_memory * _MIB)
        server = Server(
            Listener(current.router_addresses(replica), tls, _CALLERS),
            [
                image_service.NAME,
                provider_key_service.NAME,
                usage_service.NAME,
                webhook_service.NAME,
                *rest_services.NAMES,
                *admin.NAMES,
            ],
            interceptors=[RequestInterceptor(ring, limiter, budget)],
        )
        images = ImageService(
            planner=operations.planner,
            images=operations.images,
            jobs=operations.jobs,
            job_list=operations.job_list,
            responses=responses,
            catalog=catalog,
            provider_keys=provider_keys,
            default_models=current.default_models,
        )
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(images, server.grpc)
        tenant_keys = ProviderKeyService(keys=provider_keys, routes=catalog.routes_with_keys)
        provider_key_service_pb2_grpc.add_ProviderKeyServiceServicer_to_server(tenant_keys, server.grpc)
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(
            WebhookService(secrets=engine.webhook_secrets, jobs=operations.jobs), server.grpc
        )
        usage_service.add_usage_services(server, engine.usage)
        _add_rest_services(
            server,
            operations,
            budget,
            tenant_keys,
            RestFileService(lookup=operations.lookup, store=store, links=links),
        )
        add_admin_services(
            server,
            stores=admin_stores,
            tenancy=tenancy,
            catalog=catalog,
            engine=engine,
            job_list=operations.job_list,
            responses=responses,
            budget=budget,
        )
        forms = FormService(
            planner=operations.planner, images=operations.images, ring=ring, limiter=limiter, budget=budget
        )
        uploads = Listener((current.uploads_address(replica),), tls, _CALLERS)
        async with listening(_uploads(forms, process), uploads, GRACE, cancel=True, linger=LINGER):
            _add_checks(process, engine)
            await server.start()
            process.supervisor.spawn("health", process.report_readiness(server.set_ready))
            try:
                await process.until_stopped()
            except BackgroundTaskError:
                await _end_calls(server, engine, patience=0, grace=CRASH_GRACE)
                raise
            deadline = asyncio.get_running_loop().time() + GRACE
            await _end_calls(server, engine, patience=PATIENCE, grace=GRACE)
        await engine.drain(max(0.0, deadline - asyncio.get_running_loop().time()))


def _budget_policy(tenancy: Tenancy, current: Settings) -> BudgetPolicy:
    """Return the rules of budgets. A key that is revoked has no limits left: it makes no more jobs."""

    def key_quota(key_id: str) -> Quota:
        key = tenancy.ring.by_id(key_id)
        return key.quota if key else NO_LIMITS

    return BudgetPolicy(
        key_quota=key_quota,
        tenant_quota=tenancy.tenants.quota,
        allow_unpriced=current.allow_unpriced,
    )


async def _adopt_key(process: Process, current: Settings, client: Client, stores: AdminStores, ring: KeyRing) -> None:
    """Accept the key of the setting IMAGEGATEWAY_API_KEY, and each further one in its file."""
    if not current.api_key:
        return
    gateway = await asyncio.to_thread(load_identity, current.data_dir / GATEWAY)
    keys = GatewayKeys(client, stores.keys, stores.audit, gateway)
    await keys.announce(current.data_dir / GATEWAY)
    key = AdoptedKey(current.api_key, keys)
    await key.adopt()
    if current.source.secret_files:
        process.supervisor.spawn("secret_files", SecretWatch(current.source.secret_files).follow())
    process.supervisor.spawn("adopted_key", key.follow(ring.adopted))


def _add_rest_services(
    server: Server, operations: Operations, budget: BodyBudget, keys: ProviderKeyService, files: RestFileService
) -> None:
    """Add the services that only REST has."""
    images = RestImageService(planner=operations.planner, images=operations.images, budget=budget)
    rest_edge_pb2_grpc.add_RestImageServiceServicer_to_server(images, server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(RestEventService(operations.jobs), server.grpc)
    rest_edge_pb2_grpc.add_RestProviderKeyServiceServicer_to_server(RestProviderKeyService(keys, budget), server.grpc)
    rest_edge_pb2_grpc.add_RestFileServiceServicer_to_server(files, server.grpc)


def _uploads(forms: FormService, process: Process) -> web.Application:
    """Return the application of forms, whose `/readyz` Envoy checks."""
    app = forms.application()
    add_readiness(app, process)
    return app


async def _end_calls(server: Server, engine: JobEngine, *, patience: float, grace: float) -> None:
    """Stop accepting calls, and end the running ones.

    Event streams end at once. After `patience` seconds, calls that wait for images are answered with their jobs.
    """
    engine.feed.end_streams()
    asyncio.get_running_loop().call_later(patience, lambda: engine.feed.end_streams(patient=True))
    await server.stop(grace)


def _add_checks(process: Process, engine: JobEngine) -> None:
    """Show the engine in the process's readiness: without one of its parts, each new job is refused."""

    async def connected() -> bool:
        return engine.stream.connected

    process.add_check("nats", connected)
    for part in engine.readiness.parts:
        process.add_check(part, partial(engine.readiness.serves, part))


def start(replica: str = "0") -> None:
    """Run a router until it must stop. `replica`: its number."""
    run(lambda process: main(process, int(replica)), f"router-{replica}")


if __name__ == "__main__":
    start(*sys.argv[1:])
