"""Router process: `python -m imagegateway.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.jobs.retention import RetentionPolicies
from imagegateway.keys.api_keys import API_KEY_NAME, RevokedKeyError
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.policy import NO_LIMITS, Quota
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenancy import Tenancy
from imagegateway.media.signed_links import LinkSigner
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform import logs, settings
from imagegateway.platform.grpc_server import Server, run
from imagegateway.platform.http_server import listening
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import BackgroundTaskError, Supervisor
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
    from imagegateway.platform.settings import Settings
    from imagegateway.router.composition import Operations

GRACE: Final = 30.0
"""Seconds that running calls get to end, and after them the provider calls that they have started."""
LINGER: Final = 0.5
"""Seconds in which requests may still arrive on open connections after the stop."""
PATIENCE: Final = 10.0
"""Seconds that waiting calls get after the stop. Then they are answered with their jobs."""
CRASH_GRACE: Final = 2.0
"""Grace after a background task has failed, in seconds: the calls may wait in vain."""
_READINESS_PERIOD: Final = 0.25
_MIB: Final = 1024 * 1024


async def main(stop: asyncio.Event, replica: int) -> None:
    """Serve until `stop`; then let running calls end, and leave the jobs to other replicas.

    Raises BackgroundTaskError when a background task has failed.
    """
    current = settings.current()
    async with AsyncExitStack() as resources:
        client = await connect(current, f"router-{replica}")
        resources.push_async_callback(client.close)
        supervisor = Supervisor()
        resources.push_async_callback(supervisor.close)
        root = RootSecret.load(current)
        admin_stores = await AdminStores.open(client, current, root)
        await _adopt_key(current, admin_stores)
        tenancy = await Tenancy.open(client, current.nats_replicas, root)
        await tenancy.start(supervisor)
        ring, provider_keys, limiter = tenancy.ring, tenancy.provider_keys, CallLimiter(tenancy.rates)
        links = LinkSigner(root, current.public_url)
        store = MediaStore.open(current.media_url)
        responses = ResponseBuilder(store, links, time.time, ResponseMemory(current.answer_memory * _MIB))
        catalog = Catalog.load(current.source)
        outbound = Outbound(UrlGuard(current.allow_hosts))
        resources.push_async_callback(outbound.aclose)
        provider_client = ProviderClient(current, {model.family for model in catalog.models.values()})
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
            supervisor=supervisor,
        )
        resources.push_async_callback(engine.close)
        await supervisor.run(engine.start())
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
            current.socket(f"router-{replica}"),
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
        webhooks = WebhookService(secrets=engine.webhook_secrets, jobs=operations.jobs)
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks, server.grpc)
        usage_service.add_usage_services(server, engine.usage)
        files = RestFileService(lookup=operations.lookup, store=store, links=links)
        _add_rest_services(server, operations, budget, tenant_keys, files)
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
        path = current.socket(f"uploads-{replica}")
        async with listening(forms.application(), path, GRACE, cancel=True, linger=LINGER):
            await server.start()
            supervisor.spawn("readiness", _follow_readiness(server, engine))
            try:
                await supervisor.run(stop.wait())
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
        tenant_quota=lambda tenant: tenancy.tenants.policy(tenant).quota,
        allow_unpriced=current.allow_unpriced,
    )


async def _adopt_key(current: Settings, stores: AdminStores) -> None:
    """Accept the key of the setting IMAGEGATEWAY_API_KEY, unless it was revoked."""
    if not current.api_key:
        return
    gateway = await asyncio.to_thread(load_identity, current.data_dir / GATEWAY)
    try:
        await GatewayKeys(stores.keys, stores.audit, gateway).adopt(current.api_key.reveal())
    except RevokedKeyError:
        logs.get(__name__).error("api_key_revoked", setting=API_KEY_NAME)


def _add_rest_services(
    server: Server, operations: Operations, budget: BodyBudget, keys: ProviderKeyService, files: RestFileService
) -> None:
    """Add the services that only REST has."""
    images = RestImageService(planner=operations.planner, images=operations.images, budget=budget)
    rest_edge_pb2_grpc.add_RestImageServiceServicer_to_server(images, server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(RestEventService(operations.jobs), server.grpc)
    rest_edge_pb2_grpc.add_RestProviderKeyServiceServicer_to_server(RestProviderKeyService(keys, budget), server.grpc)
    rest_edge_pb2_grpc.add_RestFileServiceServicer_to_server(files, server.grpc)


async def _end_calls(server: Server, engine: JobEngine, *, patience: float, grace: float) -> None:
    """Stop accepting calls, and end the running ones.

    Event streams end at once. After `patience` seconds, calls that wait for images are answered with their jobs.
    """
    engine.feed.end_streams()
    asyncio.get_running_loop().call_later(patience, lambda: engine.feed.end_streams(patient=True))
    await server.stop(grace)


async def _follow_readiness(server: Server, engine: JobEngine) -> None:
    """Report ready while every part of the engine serves: without one of them, every new job would be refused."""
    ready = True
    while True:
        await asyncio.sleep(_READINESS_PERIOD)
        serves = engine.stream.connected and not engine.readiness.problems
        if serves != ready:
            ready = serves
            await server.set_ready(ready=ready)


if __name__ == "__main__":
    replica = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    logs.configure(settings.current(), f"router-{replica}")
    run(lambda stop: main(stop, replica), "router")
