"""Serve the router: `python -m services.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys
import time

from imagegateway.v1 import image_service_pb2_grpc, rest_edge_pb2_grpc, webhook_service_pb2_grpc

from services.common import logs, settings
from services.common.keys import KeyRing, KeyStore
from services.common.links import PURPOSE, Links
from services.common.nats import connect
from services.common.outbound import Outbound
from services.common.secrets import RootSecret
from services.common.server import Server, run
from services.common.store import MediaStore
from services.common.urlguard import Guard
from services.jobs import secrets as secrets_module
from services.jobs.families import Families
from services.jobs.hub import Hub
from services.jobs.projection import Projection
from services.jobs.queue import Queue
from services.jobs.replicas import Replicas
from services.jobs.runner import Runner
from services.jobs.secrets import WebhookSecrets
from services.jobs.stream import JobStream
from services.jobs.webhooks import Webhooks
from services.router import edge, files, service
from services.router import webhooks as webhook_service
from services.router.answer import Answers
from services.router.catalog import Catalog
from services.router.interceptor import Outermost
from services.router.studio import Studio

GRACE = 30.0
"""Seconds that running calls get to end."""


async def main(stop: asyncio.Event, replica: int) -> None:
    """Connect, take up what an earlier life left, serve; on `stop` let running calls end and hand the rest over."""
    current = settings.current()
    client = await connect(current, f"router-{replica}")
    keys = await KeyStore.open(client, current.nats_replicas)
    if current.api_key:
        await keys.adopt(current.api_key.reveal(), tenant="default", name="IMAGEGATEWAY_API_KEY")
    ring = KeyRing(keys.kv)
    await ring.start()
    store = MediaStore.open(current.media_url)
    catalog = Catalog.load(current.source)
    outbound = Outbound(Guard(current.allow_hosts))
    families = Families(current, {model.family for model in catalog.models.values()})
    root = RootSecret.load(current)
    links = Links(root.derive(PURPOSE), current.public_url)
    stream = await JobStream.open(client, current.nats_replicas)
    projection = Projection(current.data_dir / f"jobs-{replica}.sqlite")
    hub = Hub(stream, projection)
    replicas = await Replicas.open(client, current, replica)
    runner = Runner(
        stream=stream,
        hub=hub,
        families=families,
        replicas=replicas,
        queue=Queue(
            route_limit={name: current.route_concurrency(name) for name in catalog.route_names},
            default_route_limit=current.default_concurrency,
            tenant_limit=current.tenant_concurrency,
        ),
        store=store,
        price=catalog.price,
        queue_limit=current.queue_limit,
    )
    answers = Answers(store, links, time.time)
    secrets = await WebhookSecrets.open(client, current.nats_replicas, root.derive(secrets_module.PURPOSE))
    webhooks = Webhooks(
        stream=stream,
        hub=hub,
        replicas=replicas,
        secrets=secrets,
        outbound=outbound,
        view=answers.job,
        pauses=current.webhook_pauses,
    )
    await hub.start()
    await replicas.start(runner.look)
    runner.look()
    background = [asyncio.create_task(work) for work in (runner.run(), webhooks.run())]
    studio = Studio(
        settings=current,
        catalog=catalog,
        store=store,
        outbound=outbound,
        stream=stream,
        hub=hub,
        projection=projection,
        runner=runner,
        answers=answers,
    )
    server = Server(
        current.socket(f"router-{replica}"),
        [service.NAME, webhook_service.NAME, *edge.NAMES],
        interceptors=[Outermost(ring)],
    )
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(service.ImageService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestUploadServiceServicer_to_server(edge.RestUploadService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(edge.RestEventService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestFileServiceServicer_to_server(files.RestFileService(studio, links), server.grpc)
    webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(
        webhook_service.WebhookService(studio, secrets, webhooks), server.grpc
    )
    await server.start()
    readiness = asyncio.create_task(_follow_engine(server, stream))
    await stop.wait()
    readiness.cancel()
    hub.end_streams()
    await server.stop(GRACE)
    await runner.drain(GRACE)
    for task in background:
        task.cancel()
    await replicas.close()
    await hub.close()
    await ring.close()
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
