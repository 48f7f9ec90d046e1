"""Serve the router: `python -m services.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from imagegateway.v1 import (
    image_service_pb2_grpc,
    provider_key_service_pb2_grpc,
    rest_edge_pb2_grpc,
    webhook_service_pb2_grpc,
)

from services.common import logs, settings
from services.common.http import listening
from services.common.keys import KeyRing, KeyStore
from services.common.links import PURPOSE, Links
from services.common.nats import connect
from services.common.outbound import Outbound
from services.common.provider_keys import ProviderKeys
from services.common.secrets import RootSecret
from services.common.server import Server, run
from services.common.store import MediaStore
from services.common.urlguard import Guard
from services.jobs.engine import Engine
from services.jobs.families import Families
from services.router import edge, files, provider_keys, service, webhooks
from services.router.answer import Answers
from services.router.catalog import Catalog
from services.router.interceptor import Outermost
from services.router.studio import Studio
from services.router.uploads import Uploads

if TYPE_CHECKING:
    from services.jobs.stream import JobStream

GRACE = 30.0
"""Seconds that running calls get to end."""
PATIENCE = 10.0
"""Seconds that inline calls are waited for when the router stops; then they are answered with their jobs."""


async def main(stop: asyncio.Event, replica: int) -> None:
    """Connect, take up what an earlier life left, serve; on `stop` let running calls end and hand the rest over."""
    current = settings.current()
    client = await connect(current, f"router-{replica}")
    keys = await KeyStore.open(client, current.nats_replicas)
    if current.api_key:
        await keys.adopt(current.api_key.reveal(), tenant="default", name="IMAGEGATEWAY_API_KEY")
    ring = KeyRing(client.jetstream())
    await ring.start()
    root = RootSecret.load(current)
    stored_keys = await ProviderKeys.open(client, current.nats_replicas, root)
    await stored_keys.start()
    links = Links(root.derive(PURPOSE), current.public_url)
    store = MediaStore.open(current.media_url)
    answers = Answers(store, links, time.time)
    catalog = Catalog.load(current.source)
    outbound = Outbound(Guard(current.allow_hosts))
    families = Families(current, {model.family for model in catalog.models.values()})
    engine = await Engine.open(
        settings=current,
        client=client,
        replica=replica,
        root=root,
        store=store,
        families=families,
        outbound=outbound,
        limits=catalog.limits(current),
        price=catalog.price,
        fallback=catalog.fallback,
        view=answers.job,
    )
    await engine.start()
    studio = Studio(current, catalog, store, outbound, engine, answers, stored_keys)
    server = Server(
        current.socket(f"router-{replica}"),
        [service.NAME, provider_keys.NAME, webhooks.NAME, *edge.NAMES],
        interceptors=[Outermost(ring)],
    )
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(service.ImageService(studio), server.grpc)
    tenant_keys = provider_keys.ProviderKeyService(studio)
    provider_key_service_pb2_grpc.add_ProviderKeyServiceServicer_to_server(tenant_keys, server.grpc)
    webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks.WebhookService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(edge.RestEventService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestImageServiceServicer_to_server(edge.RestImageService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestProviderKeyServiceServicer_to_server(
        edge.RestProviderKeyService(tenant_keys), server.grpc
    )
    rest_edge_pb2_grpc.add_RestFileServiceServicer_to_server(files.RestFileService(studio, links), server.grpc)
    uploads = Uploads(studio, ring).application()
    async with listening(uploads, current.socket(f"uploads-{replica}"), GRACE, cancel=True):
        await server.start()
        readiness = asyncio.create_task(_follow_engine(server, engine.stream))
        await stop.wait()
        readiness.cancel()
        engine.hub.end_streams()
        # Calls that wait for a picture get some time; what takes longer is answered with its job.
        asyncio.get_running_loop().call_later(PATIENCE, lambda: engine.hub.end_streams(patient=True))
        await server.stop(GRACE)
    await engine.stop(GRACE)
    await ring.close()
    await stored_keys.close()
    await asyncio.gather(families.close(), outbound.aclose(), client.close())


async def _follow_engine(server: Server, stream: JobStream) -> None:
    """Ready while the job engine is: without it every call would be refused."""
    ready = True
    while True:
        await asyncio.sleep(0.25)
        if stream.connected != ready:
            ready = stream.connected
            await server.set_ready(ready=ready)


if __name__ == "__main__":
    replica = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    logs.configure(settings.current(), f"router-{replica}")
    run(lambda stop: main(stop, replica), "router")
