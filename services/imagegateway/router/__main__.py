"""Serve the router: `python -m imagegateway.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.provider_client import ProviderClient
from imagegateway.keys.api_keys import API_KEY_NAME, KeyRing, KeyStore, RevokedKeyError
from imagegateway.keys.provider_keys import ProviderKeys
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.decoding import DecodeGate
from imagegateway.media.signed_links import Links
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import Guard
from imagegateway.platform import logs, settings
from imagegateway.platform.grpc_server import Server, run
from imagegateway.platform.http_server import listening
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import BackgroundTaskError, Supervisor
from imagegateway.router import file_service, image_service, provider_key_service, rest_services, webhook_service
from imagegateway.router.answer_memory import AnswerMemory
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.catalog import Catalog
from imagegateway.router.form_service import Uploads
from imagegateway.router.interceptor import Outermost
from imagegateway.router.operations import Studio
from imagegateway.router.responses import Answers
from imagegateway.v1 import (
    image_service_pb2_grpc,
    provider_key_service_pb2_grpc,
    rest_edge_pb2_grpc,
    webhook_service_pb2_grpc,
)

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings

GRACE = 30.0
"""Seconds that running calls get to end, and after them what they have begun at providers."""
LINGER = 0.5
"""Seconds in which requests arrive on connections that were made before the router stopped."""
PATIENCE = 10.0
"""Seconds that inline calls are waited for when the router stops; then they are answered with their jobs."""
CRASH_GRACE = 2.0
"""The same when a background task has ended: what the calls wait for may never come."""


async def main(stop: asyncio.Event, replica: int) -> None:
    """Connect, take up what an earlier life left, serve; on `stop` let running calls end and hand the rest over.

    Raises BackgroundTaskError when the process can't go on.
    """
    current = settings.current()
    async with AsyncExitStack() as held:
        client = await connect(current, f"router-{replica}")
        held.push_async_callback(client.close)
        supervisor = Supervisor()
        held.push_async_callback(supervisor.close)
        root = RootSecret.load(current)
        await _adopt_key(current, await KeyStore.open(client, current.nats_replicas, root))
        ring = KeyRing(client.jetstream())
        await ring.start(supervisor)
        stored_keys = await ProviderKeys.open(client, current.nats_replicas, root)
        await stored_keys.start(supervisor)
        links = Links(root, current.public_url)
        store = MediaStore.open(current.media_url)
        answers = Answers(store, links, time.time, AnswerMemory(current.answer_memory * 1024**2))
        catalog = Catalog.load(current.source)
        outbound = Outbound(Guard(current.allow_hosts))
        held.push_async_callback(outbound.aclose)
        families = ProviderClient(current, {model.family for model in catalog.models.values()})
        held.push_async_callback(families.close)
        engine = await JobEngine.open(
            settings=current,
            client=client,
            replica=replica,
            root=root,
            store=store,
            provider_client=families,
            outbound=outbound,
            limits=replace(catalog.limits(current), multi_tenant=ring.is_shared),
            price=catalog.price,
            fallback=catalog.fallback,
            view=answers.job,
            supervisor=supervisor,
        )
        held.push_async_callback(engine.close)
        await supervisor.run(engine.start())
        studio = Studio(
            current, catalog, store, outbound, engine, answers, stored_keys, DecodeGate(current.decode_pixels)
        )
        budget = BodyBudget(current.body_memory * 1024**2)
        server = _server(current.socket(f"router-{replica}"), ring, studio, links, budget)
        uploads = Uploads(studio, ring, budget).application()
        path = current.socket(f"uploads-{replica}")
        async with listening(uploads, path, GRACE, cancel=True, linger=LINGER):
            await server.start()
            supervisor.spawn("readiness", _follow_engine(server, engine))
            try:
                await supervisor.run(stop.wait())
            except BackgroundTaskError:
                await _end_calls(server, engine, patience=0, grace=CRASH_GRACE)
                raise
            over = asyncio.get_running_loop().time() + GRACE
            await _end_calls(server, engine, patience=PATIENCE, grace=GRACE)
        await engine.drain(max(0.0, over - asyncio.get_running_loop().time()))


async def _adopt_key(current: Settings, keys: KeyStore) -> None:
    """Accept IMAGEGATEWAY_API_KEY, unless it was revoked: then it stays so."""
    if not current.api_key:
        return
    gateway = await asyncio.to_thread(load_identity, current.data_dir / GATEWAY)
    try:
        await keys.adopt(current.api_key.reveal(), gateway)
    except RevokedKeyError:
        logs.get(__name__).error("api_key_revoked", setting=API_KEY_NAME)


def _server(path: Path, ring: KeyRing, studio: Studio, links: Links, budget: BodyBudget) -> Server:
    """The gRPC server with all public services, at a UNIX socket."""
    server = Server(
        path,
        [image_service.NAME, provider_key_service.NAME, webhook_service.NAME, *rest_services.NAMES],
        interceptors=[Outermost(ring, budget)],
    )
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(image_service.ImageService(studio), server.grpc)
    tenant_keys = provider_key_service.ProviderKeyService(studio)
    provider_key_service_pb2_grpc.add_ProviderKeyServiceServicer_to_server(tenant_keys, server.grpc)
    webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhook_service.WebhookService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(rest_services.RestEventService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestImageServiceServicer_to_server(
        rest_services.RestImageService(studio, budget), server.grpc
    )
    rest_edge_pb2_grpc.add_RestProviderKeyServiceServicer_to_server(
        rest_services.RestProviderKeyService(tenant_keys, budget), server.grpc
    )
    rest_edge_pb2_grpc.add_RestFileServiceServicer_to_server(file_service.RestFileService(studio, links), server.grpc)
    return server


async def _end_calls(server: Server, engine: JobEngine, *, patience: float, grace: float) -> None:
    """Take no new calls. Let streams end, and after `patience` seconds also the calls that wait for images: those are
    answered with their jobs.
    """
    engine.feed.end_streams()
    asyncio.get_running_loop().call_later(patience, lambda: engine.feed.end_streams(patient=True))
    await server.stop(grace)


async def _follow_engine(server: Server, engine: JobEngine) -> None:
    """Ready while all parts of the engine are: without one of them every new job would be refused."""
    ready = True
    while True:
        await asyncio.sleep(0.25)
        serves = engine.stream.connected and not engine.readiness.problems
        if serves != ready:
            ready = serves
            await server.set_ready(ready=ready)


if __name__ == "__main__":
    replica = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    logs.configure(settings.current(), f"router-{replica}")
    run(lambda stop: main(stop, replica), "router")
